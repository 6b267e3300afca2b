/**
 * The editor: the original at the left, what becomes of it at the right, and what differs. CodeMirror in a shadow root,
 * where its styles are adopted sheets: the page's policy allows no other. Loaded when it is first asked for.
 */
import { defaultKeymap, history, historyKeymap } from '@codemirror/commands';
import { json } from '@codemirror/lang-json';
import { bracketMatching, foldGutter, foldKeymap, HighlightStyle, syntaxHighlighting } from '@codemirror/language';
import { MergeView, unifiedMergeView } from '@codemirror/merge';
import { EditorState, type Extension } from '@codemirror/state';
import { EditorView, keymap, lineNumbers } from '@codemirror/view';
import { tags } from '@lezer/highlight';

export interface Compared {
  focus: () => void;
  destroy: () => void;
}

const NARROW = '(width <= 760px)';

const LOOK = EditorView.theme({
  '&': { backgroundColor: 'var(--ground)', color: 'var(--text)', fontSize: 'var(--size-mono)' },
  '.cm-scroller': { fontFamily: 'var(--mono)', lineHeight: '1.6' },
  '.cm-gutters': { backgroundColor: 'var(--ground)', color: 'var(--text-soft)', border: 'none' },
  '.cm-activeLine, .cm-activeLineGutter': { backgroundColor: 'var(--hover)' },
  '&.cm-focused': { outline: 'none' },
  '&.cm-focused .cm-cursor': { borderLeftColor: 'var(--text)' },
  '&.cm-focused .cm-selectionBackground, .cm-selectionBackground, ::selection': { backgroundColor: 'var(--picked) !important' },
  '.cm-matchingBracket': { backgroundColor: 'var(--picked) !important', outline: 'none' },
  '&.cm-merge-a .cm-changedLine, .cm-deletedChunk': { backgroundColor: 'var(--dead-soft)' },
  '&.cm-merge-b .cm-changedLine, .cm-insertedLine': { backgroundColor: 'var(--delivered-soft)' },
  '&.cm-merge-a .cm-changedText, .cm-deletedChunk .cm-deletedText': { background: 'none', boxShadow: 'inset 0 -2px var(--dead)' },
  '&.cm-merge-b .cm-changedText': { background: 'none', boxShadow: 'inset 0 -2px var(--delivered)' },
  '.cm-panels': { backgroundColor: 'var(--raised)', color: 'var(--text)' },
  '.cm-foldPlaceholder': { background: 'var(--raised)', border: '1px solid var(--line)', color: 'var(--text-soft)' },
});

const COLOURS = syntaxHighlighting(
  HighlightStyle.define([
    { tag: tags.propertyName, fontWeight: '600' },
    { tag: [tags.number, tags.bool, tags.null], fontStyle: 'italic' },
    { tag: [tags.punctuation, tags.bracket, tags.separator], color: 'var(--text-soft)' },
  ]),
);

function common(isJson: boolean, label: string): Extension[] {
  return [
    lineNumbers(),
    foldGutter(),
    bracketMatching(),

    LOOK,
    COLOURS,
    EditorView.lineWrapping,
    EditorView.contentAttributes.of({ 'aria-label': label }),
    ...(isJson ? [json()] : []),
  ];
}

/**
 * Text is put in by the editor and not by the browser, which keeps the look of what it replaces by an inline style:
 * the page's policy refuses that, and says so.
 */
const INSERTING = EditorView.domEventHandlers({
  beforeinput(event, view) {
    if (event.inputType !== 'insertText' || event.data === null || event.isComposing || view.composing) return false;
    event.preventDefault();
    view.dispatch(view.state.replaceSelection(event.data), { userEvent: 'input.type', scrollIntoView: true });
    return true;
  },
});

function editable(isJson: boolean, changed: (text: string) => void): Extension[] {
  return [
    ...common(isJson, 'the body as it will be sent'),
    history(),
    INSERTING,
    // Tab moves on as everywhere; indenting is no work for the night.
    keymap.of([...defaultKeymap, ...historyKeymap, ...foldKeymap]),
    EditorView.updateListener.of((update) => {
      if (update.docChanged) changed(update.state.doc.toString());
    }),
  ];
}

/** Shows both in `place`, and calls `changed` with the whole text whenever it changes. */
export function compareIn(place: HTMLElement, original: string, isJson: boolean, changed: (text: string) => void): Compared {
  const root = place.shadowRoot ?? place.attachShadow({ mode: 'open' });
  if (matchMedia(NARROW).matches) {
    const unified = unifiedMergeView({ original, mergeControls: false });
    const view = new EditorView({ doc: original, extensions: [...editable(isJson, changed), unified], parent: root, root });
    return view;
  }
  const readOnly = [EditorState.readOnly.of(true), EditorView.editable.of(false)];
  const view = new MergeView({
    a: { doc: original, extensions: [...common(isJson, 'the body as it was sent'), ...readOnly] },
    b: { doc: original, extensions: editable(isJson, changed) },
    parent: root,
    root,
    gutter: false,
  });
  return { focus: () => view.b.focus(), destroy: () => view.destroy() };
}

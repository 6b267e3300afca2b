// A list's rows are no table's where the screen is narrow: there its roles have to be said (parts/Table.svelte).
const REDUNDANT = 'a11y_no_redundant_roles';

export default { compilerOptions: { runes: true, warningFilter: ({ code }) => code !== REDUNDANT } };

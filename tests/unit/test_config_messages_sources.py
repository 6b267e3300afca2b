"""The refusals of sources: how they are verified, named and keyed, each in its exact words."""
# ruff: noqa: E501 -- a message stands on one line here, as it does on the terminal.

import pytest
from config_messages import KINDS, SCHEMES, SECRETS, SELECTOR, generic, problems, source, verify

REFUSED = [
    # sources
    (
        '[sources."My source"]\nkind = "generic"\nverify = { scheme = "none" }',
        'sources."My source": found the name "My source"; expected the source\'s name to be 1 to 63 of a-z, 0-9, _ and -, '
        "the first a letter or a digit; rename it, also in the routes",
    ),
    (
        source('kind = "genesys-webhok"'),
        f'sources.a.kind: found "genesys-webhok"; expected one of the known kinds: {KINDS}; did you mean "genesys-webhook"?',
    ),
    (
        source('verify = { scheme = "none" }'),
        f"sources.a.kind: found nothing; expected one of the known kinds: {KINDS}; add kind = …",
    ),
    (
        generic("", "none") + 'dedupe = "id"',
        "sources.a.dedupe: found an unknown key; expected one of kind, secrets, verify, dedup, type, key, dedup_window, "
        "max_body, tolerance, required_headers, content_types, allow, rate, challenge, client_id, public_url, "
        "on_unverified, hold, keep_rejected_bodies; "
        'did you mean "dedup"?',
    ),
    (
        generic('on_unverified = "hold"'),
        'sources.a.on_unverified: found "hold", and this source verifies nothing, so that nothing is refused; '
        "expected it only where requests are verified; remove it, or set verify",
    ),
    (
        source('kind = "genesys-webhook"\non_unverified = "hold"'),
        'sources.a.on_unverified: found "hold", and this source verifies nothing, so that nothing is refused; '
        "expected it only where requests are verified; remove it, or set verify",
    ),
    (
        source('kind = "cxone-byoc"\nclient_id = "c"\nsecrets = ["s"]\non_unverified = "hold"'),
        'sources.a.on_unverified: found "hold" with cxone-byoc, which asks for another token where one is refused, and '
        'sends again; expected "refuse"; remove it',
    ),
    (
        source('kind = "github"\nsecrets = ["s"]\nhold = { max_requests = 5 }'),
        'sources.a.hold: found a table, and nothing is held; expected it only beside on_unverified = "hold"; '
        "remove it, or set on_unverified",
    ),
    (
        source('kind = "github"\nsecrets = ["s"]\non_unverified = "hold"\nhold = { max_requests = 0 }'),
        "sources.a.hold.max_requests: found 0; expected a whole number from 1 to 1000000",
    ),
    (
        source('kind = "github"\nsecrets = ["s"]\non_unverified = "keep"'),
        'sources.a.on_unverified: found "keep"; expected "refuse" or "hold"',
    ),
    (
        source('kind = "generic"'),
        f"sources.a.verify: found nothing; expected verify = {{ scheme = … }} with one of {SCHEMES}; "
        'verify = { scheme = "none" } lets anybody post, and has to be said aloud',
    ),
    (
        source('kind = "genesys-webhook"\nsecrets = ["a-literal"]'),
        "sources.a.verify: found secrets and no word on how they verify; expected verify = { scheme = … }; "
        'as in { scheme = "bearer" }',
    ),
    (
        source('kind = "genesys-open-messaging"'),
        'sources.a.secrets: found no secret; expected at least one for kind "genesys-open-messaging"; '
        'as in secrets = ["${VAR}"] or ["file:PATH"]',
    ),
    # verify
    (
        verify('scheme = "hmac-sha26", header = "X"'),
        f'sources.a.verify.scheme: found "hmac-sha26"; expected one of {SCHEMES}; did you mean "hmac-sha256"?',
    ),
    (
        verify('header = "X"'),
        f"sources.a.verify.scheme: found nothing; expected one of {SCHEMES}; add scheme = …",
    ),
    (
        verify('scheme = "hmac-sha1"'),
        'sources.a.verify.header: found nothing; expected the name of the header that scheme "hmac-sha1" reads; '
        'as in header = "X-Signature"',
    ),
    (
        verify('scheme = "header"'),
        'sources.a.verify.header: found nothing; expected the name of the header that scheme "header" reads; '
        'as in header = "X-Signature"',
    ),
    (
        verify('scheme = "header", header = "a b"'),
        'sources.a.verify.header: found "a b"; expected the name of an HTTP header; letters, digits and -, as in "X-Signature"',
    ),
    (
        verify('scheme = "header", header = "X", encoding = "hex"'),
        'sources.a.verify.encoding: found encoding with scheme "header", which has no use for it; '
        "expected it only with hmac-sha1, hmac-sha256, hmac-sha512; remove it",
    ),
    (
        verify('scheme = "bearer", prefix = "x"'),
        'sources.a.verify.prefix: found prefix with scheme "bearer", which has no use for it; '
        "expected it only with hmac-sha1, hmac-sha256, hmac-sha512; remove it",
    ),
    (
        verify('scheme = "bearer", header = "X"'),
        'sources.a.verify.header: found header with scheme "bearer", which has no use for it; '
        "expected it only with hmac-sha1, hmac-sha256, hmac-sha512, header; remove it",
    ),
    (
        verify('scheme = "hmac-sha256", header = "X", username = "u"'),
        'sources.a.verify.username: found username with scheme "hmac-sha256", which has no use for it; '
        "expected it only with basic; remove it",
    ),
    (
        verify('scheme = "basic", username = "u:v"'),
        'sources.a.verify.username: found "u:v"; expected the user name, without a colon',
    ),
    (
        verify('scheme = "basic"'),
        "sources.a.secrets[0]: found a secret without a colon, and no username; expected user:password for scheme "
        '"basic"; set verify.username, or make the secret user:password',
    ),
    (
        verify('scheme = "bearer"', "[]"),
        'sources.a.secrets: found no secret; expected at least one for scheme "bearer"; '
        'as in secrets = ["${VAR}"] or ["file:PATH"]',
    ),
    (
        verify('scheme = "none"'),
        'sources.a.secrets: found secrets with scheme "none", which checks nothing; '
        "expected no secrets, or a scheme that uses them; remove one of the two",
    ),
    # secrets
    (
        verify('scheme = "bearer"', '["${GENESYS_WEBHOOK_SECRET}"]'),
        "sources.a.secrets[0]: the environment variable GENESYS_WEBHOOK_SECRET is not set; expected it to hold the secret "
        "shared with the sender; set it, or use file:PATH",
    ),
    (
        verify('scheme = "bearer"', '["${EMPTY}"]'),
        "sources.a.secrets[0]: the environment variable EMPTY is empty; expected it to hold the secret "
        "shared with the sender; set it, or use file:PATH",
    ),
    (
        verify('scheme = "bearer"', '["${S}", "${ONE}:${TWO}"]'),
        "sources.a.secrets[1]: the environment variables ONE and TWO are not set; expected them to hold the secret "
        "shared with the sender; set them, or use file:PATH",
    ),
    (
        verify('scheme = "bearer"', '["${S"]'),
        'sources.a.secrets[0]: found "${" with no name of a variable after it; expected ${NAME}; '
        "NAME is letters, digits and _",
    ),
    (
        verify('scheme = "bearer"', '["file:gone"]'),
        'sources.a.secrets[0]: the file "gone" cannot be read (No such file or directory); expected a file that holds only '
        "the secret; a relative path starts at the configuration's folder",
    ),
    (
        verify('scheme = "bearer"', '["file:/"]'),
        'sources.a.secrets[0]: the file "/" cannot be read (Is a directory); expected a file that holds only '
        "the secret; a relative path starts at the configuration's folder",
    ),
    (
        verify('scheme = "bearer"', '["file:a\\u0000b"]'),
        'sources.a.secrets[0]: the file "a\\u0000b" cannot be read (not a path); expected a file that holds only '
        "the secret; a relative path starts at the configuration's folder",
    ),
    (
        verify('scheme = "bearer"', '["file:/dev/null"]'),
        'sources.a.secrets[0]: the file "/dev/null" is empty; expected a file that holds only the secret',
    ),
    (
        verify('scheme = "bearer"', '["file:/dev/zero"]'),
        'sources.a.secrets[0]: the file "/dev/zero" is over 64 KiB; expected a file that holds only the secret',
    ),
    (
        verify('scheme = "bearer"', '[""]'),
        "sources.a.secrets[0]: found an empty text; expected ${VAR} or file:PATH",
    ),
    (verify('scheme = "bearer"', '"x"'), "sources.a.secrets: found text; expected a list of ${VAR} or file:PATH"),
    (
        verify('scheme = "bearer"', "[12345678]"),
        "sources.a.secrets[0]: found a number; expected ${VAR} or file:PATH",
    ),
    # dedup, type, key, when
    (
        generic('dedup = "a..b"'),
        f'sources.a.dedup: found "a..b", which is not JMESPath from character 3 (".") on; expected {SELECTOR}; '
        "as in data.conversation.id",
    ),
    (
        generic('type = "a["'),
        f'sources.a.type: found "a[", which ends too early; expected {SELECTOR}; as in data.conversation.id',
    ),
    (generic('key = ""'), f'sources.a.key: found "", which is empty; expected {SELECTOR}; as in data.conversation.id'),
    (
        generic('key = "joined(a)"'),
        'sources.a.key: found "joined(a)", which calls the unknown function "joined"; expected a function of JMESPath; '
        'did you mean "join"?',
    ),
    (
        generic(f'key = "{"(" * 5000}"'),
        f'sources.a.key: found "{"(" * 60}…", which is nested too deeply; expected {SELECTOR}; as in data.conversation.id',
    ),
    (
        generic('key = "header:a b"'),
        'sources.a.key: found "a b"; expected the name of an HTTP header; letters, digits and -, as in "X-Signature"',
    ),
    (generic('dedup_window = "0s"'), 'sources.a.dedup_window: found "0s"; expected more than zero'),
    (
        generic('max_body = "10Mb"'),
        'sources.a.max_body: found "10Mb"; expected a size such as "10MB" or "512KiB"; '
        "the units are B, KB, MB, GB, KiB, MiB, GiB",
    ),
    (generic('max_body = "1GB"'), 'sources.a.max_body: found "1GB"; expected from 1B to 512MiB'),
    # cxone-byoc
    (
        source('kind = "cxone-byoc"\nsecrets = ["${S}"]'),
        "sources.a.client_id: found nothing; expected the client id that the platform asks for tokens with; "
        'as in client_id = "cxone"',
    ),
    (
        source('kind = "cxone-byoc"\nclient_id = "c"\nsecrets = ["${S}"]\nverify = { scheme = "bearer" }'),
        "sources.a.verify: found a table, and cxone-byoc has tokens of its own; expected nothing; remove it",
    ),
    (
        generic('client_id = "c"'),
        'sources.a.client_id: found client_id with kind "generic", which has no use for it; '
        "expected it only with cxone-byoc; remove it",
    ),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_each_fault_of_a_source_in_its_own_words(text: str, message: str) -> None:
    assert problems(text, SECRETS) == [message]

"""A verifier of proofs, written from docs/reference/entries.md and proofs.md alone."""

# ruff: noqa: E401, I001, PT018 -- it is kept short
import base64, hashlib, hmac, json, re

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SAFE = 2**53 - 1
UNSEEN = re.compile(
    "[\0-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ufffe\uffff\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e007f]"
)
STRINGS = r"""
any=[^\ud800-\udfff]*  text=[^\0]*  name=.{1,255}  label=.{0,255}
ULID=[0-7][0-9A-HJKMNP-TV-Z]{25}  digest=[a-z0-9][a-z0-9-]{0,31}:[0-9a-f]{16,128}
media=[a-z]+/[A-Za-z0-9.+-]+(;\x20?[a-z]+\x3d[A-Za-z0-9.-]+)*  hash=[0-9a-f]{64}
key=[^\U00010000-\U0010ffff]{1,255}  identifier=[A-Za-z_][A-Za-z0-9_]{0,63}
seed=0|[1-9][0-9]{0,19}  digits=-?[1-9][0-9]{15,4299}  float=-?[0-9]+(\.[0-9]+)?(e[+-][0-9]+)?
"""
STRINGS = dict(pair.split("=") for pair in STRINGS.split())
# x? can be null, x~y is x or y, [x] a list, {x:y} an object with names x, a|b one of these words,
# @x the number of an entry x, #x the commitment to a payload x; `valid` adds these two to `marks`.
# x! is not empty. Everything after + is in version 2 only, and a field after + is optional.
OBJECTS = """
actor: name=#actor
policy: document=#policy
environment: facts={key:text~integer}
plugin: plugin=distribution
started: generation=ULID run=ULID at=integer actor=@actor generator=name? model=digest? seed=seed
    parameters={identifier:digits~float~integer~flag?} policy=@policy? prompt=#prompt
    request=#request? parents=[ULID] line=count? plugins=[@plugin]
    +inputs={identifier:@input}! +models={identifier:digest}! +cell=cell
input: media_type=media bytes=count content=#input
outcome: generation=@started at=integer status=completed|blocked|failed|interrupted
    outputs=[output] verdicts=[verdict] scores=[score] usage=usage? trace=#trace? detail=#detail?
    environment=@environment? failure=invalid|refused|generator? plugins=[@plugin]
    +fingerprints=[fingerprint]!
distribution: distribution=name version=label digest=label
output: media_type=media bytes=count finish_reason=stop|length? content=#output +kept=[count]
    +wanted=position +selection=hash
fingerprint: output=count bytes=count content=#fingerprint
verdict: filter=name? version=label policy_rule=count? stage=system|prompt|output+|input|item
    decision=allow|flag|block action=allow|flag|block latency_us=count
    categories={key:float} failed=flag +item=position +input=identifier +parameter=identifier
score: evaluator=name version=label name=name value=float? unit=label higher_is_better=flag?
    latency_us=count failed=flag +models={identifier:digest}!
usage: prompt_tokens=count output_tokens=count
proof: format=muniment-proof/1 checkpoint=any entries=[proven] disclosed=[as_text~as_base64]
proven: number=count entry=any path=[hash]
as_text: entry=count kind=any position=count salt=hash text=any
as_base64: entry=count kind=any position=count salt=hash base64=any
"""
OPTIONAL = set(re.findall(r"\+(\w+)=", OBJECTS))


def tables(text):
    objects = re.findall(r"^(\w+): (.*(?:\n  .*)*)", text, re.MULTILINE)
    return {name: dict(f.split("=") for f in fields.split()) for name, fields in objects}


VERSIONS = {"1": tables(re.sub(r"\+\S+", "", OBJECTS)), "2": tables(OBJECTS.replace("+", ""))}
NEWEST = {"started": "2", "outcome": "2"}


def valid(kind, value, marks, objects):
    def fits(kind, value):
        return valid(kind, value, marks, objects)

    if kind[-1] == "?":
        return value is None or fits(kind[:-1], value)
    if kind[-1] == "!":
        return bool(value) and fits(kind[:-1], value)
    if kind[0] in "@#":
        marks.append((kind, value))
        return fits("count" if kind[0] == "@" else "hash", value)
    if types := objects.get(kind):
        same = type(value) is dict and types.keys() - OPTIONAL <= value.keys() <= types.keys()
        return same and all(fits(types[name], value[name]) for name in value)
    if kind == "cell":
        return fits("[count]", value) and len(value) == 4
    if kind[0] == "[":
        return type(value) is list and all(fits(kind[1:-1], item) for item in value)
    if kind[0] == "{":
        name, inner = kind[1:-1].split(":")
        items = value.items() if type(value) is dict else [("", None)]
        return all(fits(name, n) and fits(inner, v) for n, v in items)
    if "~" in kind:
        return any(fits(one, value) for one in kind.split("~"))
    if kind in (least := {"integer": -SAFE, "count": 0, "position": 1}):
        return type(value) is int and least[kind] <= value <= SAFE
    if kind == "flag" or type(value) is not str:
        return kind == "flag" and type(value) is bool
    if not re.fullmatch(STRINGS.get(kind, kind), value, re.DOTALL):
        return False
    if kind == "float":
        return repr(float(value)) == value != "-0.0"
    if kind in ("seed", "digits"):
        return int(value) < 2**64 if kind == "seed" else abs(int(value)) > SAFE
    return kind in ("any", "text") or not UNSEEN.search(value)


def unique(pairs):
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def decoded(encoded):
    data = base64.b64decode(encoded, validate=True)
    assert base64.b64encode(data).decode() == encoded
    return data


def signed_head(note, key):
    name, key_id, encoded = key.strip().split("+", 2)
    public = decoded(encoded)
    assert hashlib.sha256(f"{name}\n".encode() + public).hexdigest()[:8] == key_id
    line = "[^\0-\x1f]+\n"
    form = f"(({line})(0|[1-9][0-9]{{0,18}})\n({line})({line})*)\n((— {line})+)"
    match = re.fullmatch(form, note)
    lines = [line[2:].rpartition(" ") for line in match[6][:-1].split("\n")]
    signatures = [decoded(data) for signer, _, data in lines if signer == name]
    signatures = [data[4:] for data in signatures if data[:4].hex() == key_id]
    root = decoded(match[4][:-1])
    assert match[2] == f"{name}\n" and len(root) == 32 and signatures
    for signature in signatures:
        Ed25519PublicKey.from_public_bytes(public[1:]).verify(signature, match[1].encode())
    return int(match[3]), root


def root_from(leaf, number, size, path):
    assert bool(path) == (size > 1)
    if not path:
        return leaf
    split = 1 << (size - 1).bit_length() - 1
    right = number >= split
    below = root_from(leaf, number - split * right, size - split if right else split, path[:-1])
    return hashlib.sha256(b"\1" + (path[-1] + below if right else below + path[-1])).digest()


def ordered(entry):
    outputs = entry.get("outputs", ())
    prints = [item["output"] for item in entry.get("fingerprints", ())]
    kept = [output.get("kept", ()) for output in outputs]
    assert all("kept" in output or "selection" not in output for output in outputs)
    fits = prints == sorted(set(prints)) and all(output < len(outputs) for output in prints)
    return fits and all(len(set(positions)) == len(positions) for positions in kept)


def verify(data, key):
    """Raise an error unless the proof is valid."""
    proof = json.loads(data.decode(), object_pairs_hook=unique)
    assert valid("proof", proof, [], VERSIONS["1"])
    size, root = signed_head(proof["checkpoint"], key)
    kinds, marked = {}, {}
    for item in proof["entries"]:
        number, entry, marks = item["number"], json.loads(item["entry"]), []
        form = json.dumps(entry, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        kind, version = entry.pop("kind"), repr(entry.pop("version"))
        assert form == item["entry"] and version <= NEWEST.get(kind, "1")
        assert valid(kind, entry, marks, VERSIONS[version]) and ordered(entry)
        leaf = hashlib.sha256(b"\0" + form.encode()).digest()
        assert number < size and number not in kinds
        assert root_from(leaf, number, size, [bytes.fromhex(x) for x in item["path"]]) == root
        kinds[number] = kind
        for mark, value in marks:
            position = sum(known[:2] == (number, mark) for known in marked)
            marked[number, mark, position] = value
    first, *others = kinds
    own = [first, *(number for number in others[:1] if kinds[number] == "outcome")]
    references = {(by, kind[1:], n) for (by, kind, _), n in marked.items() if kind[0] == "@"}
    assert kinds[first] == "started"
    for by, kind, number in references:
        assert number < by and kinds[number] == kind and (kind != "started" or number == first)
    assert [*kinds] == own + sorted({number for _, _, number in references}.difference(own))
    for item in proof["disclosed"]:
        content = item["text"].encode() if "text" in item else decoded(item["base64"])
        message = item["kind"].encode() + b"\0" + content
        mac = hmac.digest(bytes.fromhex(item["salt"]), message, "sha256").hex()
        assert marked.pop((item["entry"], f"#{item['kind']}", item["position"])) == mac

#!/usr/bin/env python3
"""A second verifier of the log, after docs/audit-format.md alone: Python 3.9 or newer, standard library only.

    python3 audit_verify.py DIR --policy FILE [--since FILE] [--receipt FILE]... [--json]

It shares no code with the first one, so that what both accept does not rest on one reading of that text. It is slow, and keeps
the state of the whole log in memory. The signature inside a time-stamp it leaves to `openssl ts -verify`.
"""
import argparse
import base64
import bisect
import calendar
import hashlib
import hmac
import json
import os
import re
import stat
import sys

MOST_FINDINGS = 100


class Fault(Exception):
    """What ends a verification at once."""

    def __init__(self, rule, what, index=None, file=None):
        super().__init__(what)
        self.finding = finding(rule, what, index, file)


def finding(rule, what, index=None, file=None):
    return {"rule": rule, "index": index, "file": file, "what": what}


def sha256(data):
    return hashlib.sha256(data).digest()


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64url(text):
    if not re.fullmatch(r"[A-Za-z0-9_-]*", text):
        raise ValueError("not base64url")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if b64url(data) != text:
        raise ValueError("not the canonical base64url")
    return data


def unb64(text):
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:
        raise ValueError("not the canonical base64")
    return data


# --- Ed25519 (RFC 8032), in extended coordinates ---

P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
I = pow(2, (P - 1) // 4, P)


def ed_add(a, b):
    x1, y1, z1, t1 = a
    x2, y2, z2, t2 = b
    s = (y1 - x1) * (y2 - x2) % P
    u = (y1 + x1) * (y2 + x2) % P
    v = 2 * t1 * t2 * D % P
    w = 2 * z1 * z2 % P
    e, f, g, h = u - s, w - v, w + v, u + s
    return e * f % P, g * h % P, f * g % P, e * h % P


def ed_double(a):
    x, y, z, _ = a
    aa = x * x % P
    bb = y * y % P
    cc = 2 * z * z % P
    h = aa + bb
    e = h - (x + y) * (x + y) % P
    g = aa - bb
    f = cc + g
    return e * f % P, g * h % P, f * g % P, e * h % P


def ed_point(data):
    y = int.from_bytes(data, "little")
    sign = y >> 255
    y &= (1 << 255) - 1
    if y >= P:
        raise ValueError("no point")
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * I % P
    if (x * x - x2) % P or (x == 0 and sign):
        raise ValueError("no point")
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


ED_ZERO = (0, 1, 1, 0)


def ed_table(point):
    """Multiples 0 to 15 of sixteen-fold multiples of a point, so that a multiple of it is additions only."""
    rows = []
    for _ in range(64):
        row = [ED_ZERO]
        for _ in range(15):
            row.append(ed_add(row[-1], point))
        rows.append(row)
        for _ in range(4):
            point = ed_double(point)
    return rows


def ed_times(table, n):
    result = ED_ZERO
    for row in table:
        if n & 15:
            result = ed_add(result, row[n & 15])
        n >>= 4
    return result


ED_BASE = ed_table(ed_point(bytes.fromhex("5866666666666666666666666666666666666666666666666666666666666666")))


class Ed25519:
    def __init__(self, raw):
        self.raw = raw
        x, y, z, t = ed_point(raw)
        self.minus = ed_table((P - x, y, z, P - t))

    def verify(self, text, signature):
        if len(signature) != 64:
            return False
        s = int.from_bytes(signature[32:], "little")
        if s >= Q:
            return False
        k = int.from_bytes(hashlib.sha512(signature[:32] + self.raw + text).digest(), "little") % Q
        x, y, z, _ = ed_add(ed_times(ED_BASE, s), ed_times(self.minus, k))
        inverse = pow(z, P - 2, P)
        x, y = x * inverse % P, y * inverse % P
        return (y | (x & 1) << 255).to_bytes(32, "little") == signature[:32]


# --- ECDSA over P-256 (FIPS 186-4), in Jacobian coordinates ---

PP = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
NN = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
BB = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
GG = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
    1,
)


def p256_double(p):
    x, y, z = p
    if not y or not z:
        return 0, 1, 0
    yy = y * y % PP
    s = 4 * x * yy % PP
    m = 3 * (x - z * z) * (x + z * z) % PP
    x3 = (m * m - 2 * s) % PP
    return x3, (m * (s - x3) - 8 * yy * yy) % PP, 2 * y * z % PP


def p256_add(p, q):
    if not p[2]:
        return q
    if not q[2]:
        return p
    x1, y1, z1 = p
    x2, y2, z2 = q
    u1, u2 = x1 * z2 * z2 % PP, x2 * z1 * z1 % PP
    s1, s2 = y1 * z2 * z2 * z2 % PP, y2 * z1 * z1 * z1 % PP
    if u1 == u2:
        return p256_double(p) if s1 == s2 else (0, 1, 0)
    h, r = u2 - u1, s2 - s1
    h2 = h * h % PP
    h3 = h * h2 % PP
    x3 = (r * r - h3 - 2 * u1 * h2) % PP
    return x3, (r * (u1 * h2 - x3) - s1 * h3) % PP, h * z1 * z2 % PP


class P256:
    def __init__(self, x, y):
        if not (0 <= x < PP and 0 <= y < PP) or (y * y - (x * x * x - 3 * x + BB)) % PP:
            raise ValueError("no point of P-256")
        self.point = (x, y, 1)

    def verify(self, text, signature):
        try:
            r, s = der_pair(signature)
        except ValueError:
            return False
        if not (0 < r < NN and 0 < s < NN):
            return False
        w = pow(s, NN - 2, NN)
        u1, u2 = int.from_bytes(sha256(text), "big") * w % NN, r * w % NN
        both = p256_add(GG, self.point)
        result = (0, 1, 0)
        for i in range(255, -1, -1):
            result = p256_double(result)
            a, b = u1 >> i & 1, u2 >> i & 1
            if a or b:
                result = p256_add(result, both if a and b else GG if a else self.point)
        if not result[2]:
            return False
        inverse = pow(result[2], PP - 2, PP)
        return result[0] * inverse * inverse % PP % NN == r


class Rs256:
    def __init__(self, n, e):
        self.n, self.e = n, e

    def verify(self, text, signature):
        size = (self.n.bit_length() + 7) // 8
        if len(signature) != size:
            return False
        info = bytes.fromhex("3031300d060960864801650304020105000420") + sha256(text)
        block = b"\0\1" + b"\xff" * (size - 3 - len(info)) + b"\0" + info
        return pow(int.from_bytes(signature, "big"), self.e, self.n).to_bytes(size, "big") == block


def der(data, at=0):
    """One element: tag, content, where it ends."""
    if at + 2 > len(data):
        raise ValueError("DER ends too early")
    tag, length = data[at], data[at + 1]
    at += 2
    if length >= 0x80:
        width = length - 0x80
        if not 1 <= width <= 4 or at + width > len(data):
            raise ValueError("not a DER length")
        length = int.from_bytes(data[at : at + width], "big")
        if length < 0x80 or length >> 8 * (width - 1) == 0:
            raise ValueError("not the shortest DER length")
        at += width
    if at + length > len(data):
        raise ValueError("DER ends too early")
    return tag, data[at : at + length], at + length


def der_children(data):
    children, at = [], 0
    while at < len(data):
        tag, content, at = der(data, at)
        children.append((tag, content))
    return children


def der_pair(data):
    tag, content, end = der(data)
    parts = der_children(content)
    if tag != 0x30 or end != len(data) or [part[0] for part in parts] != [2, 2]:
        raise ValueError("not an ECDSA signature")
    numbers = []
    for _, value in parts:
        if not value or value[0] & 0x80 or (len(value) > 1 and value[0] == 0 and not value[1] & 0x80):
            raise ValueError("not an ECDSA signature")
        numbers.append(int.from_bytes(value, "big"))
    return numbers


ED_SPKI = bytes.fromhex("302a300506032b6570032100")
P256_SPKI = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")


def ed25519_spki(spki):
    if len(spki) != 44 or spki[:12] != ED_SPKI:
        raise ValueError("no Ed25519 key")
    return Ed25519(spki[12:])


def p256_spki(spki):
    if len(spki) != 91 or spki[:26] != P256_SPKI or spki[26] != 4:
        raise ValueError("no P-256 key")
    return P256(int.from_bytes(spki[27:59], "big"), int.from_bytes(spki[59:], "big"))


# --- Signed notes, policies, proofs (C2SP) ---

NOTE_NAME = r"[^+\s\x85]+"


class NoteKey:
    def __init__(self, vkey):
        match = re.fullmatch(r"([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)", vkey)
        if not match or not re.fullmatch(NOTE_NAME, match[1]):
            raise ValueError("not a verifier key")
        data = unb64(match[3])
        self.vkey, self.name, self.type = vkey, match[1], data[0]
        if self.type in (1, 4):
            if len(data) != 33:
                raise ValueError("not a verifier key")
            self.key = Ed25519(data[1:])
            self.id = sha256(self.name.encode() + b"\n" + data)[:4]
        elif self.type == 2:
            self.key = p256_spki(data[1:])
            self.id = sha256(data[1:])[:4]
        else:
            raise ValueError("a verifier key of this type is not known here")
        if self.id.hex() != match[2]:
            raise ValueError("the id in this verifier key is not that of its key")

    def verify_text(self, text, signature):
        """Seconds of a cosignature, 0 for another signature, None for a false one."""
        if self.type != 4:
            return 0 if self.key.verify(text.encode(), signature) else None
        if len(signature) != 72:
            return None
        seconds = int.from_bytes(signature[:8], "big")
        if not 0 < seconds < 2**53:
            return None
        signed = f"cosignature/v1\ntime {seconds}\n{text}".encode()
        return seconds if self.key.verify(signed, signature[8:]) else None

    def signed(self, note):
        """Raises ValueError for a false signature under this name and id."""
        seconds = None
        for name, key_id, signature in note.signatures:
            if name == self.name and key_id == self.id:
                found = self.verify_text(note.text, signature)
                if found is None:
                    raise ValueError(f"the signature of {name} is not one")
                seconds = max(found, seconds or 0)
        return seconds


class Note:
    def __init__(self, text):
        end = text.rfind("\n\n")
        if end < 0 or re.search(r"[\x00-\x09\x0b-\x1f]", text) or not text.endswith("\n"):
            raise ValueError("this is not a signed note")
        self.text = text[: end + 1]
        self.signatures = []
        for line in text[end + 2 : -1].split("\n"):
            match = re.fullmatch(r"— (\S+) (\S+)", line)
            data = unb64(match[2]) if match else b""
            if len(data) < 5 or not re.fullmatch(NOTE_NAME, match[1]):
                raise ValueError("this is not a signature line")
            self.signatures.append((match[1], data[:4], data[4:]))
        if len(self.signatures) > 64:
            raise ValueError("a note has at most 64 signatures")
        lines = self.text.split("\n")
        if len(lines) < 4 or not lines[0] or lines[-1] or "" in lines[:-1]:
            raise ValueError("this is not a checkpoint")
        self.origin, size, root = lines[:3]
        if not re.fullmatch(r"0|[1-9][0-9]{0,15}", size) or int(size) >= 2**53:
            raise ValueError("this is not a checkpoint")
        self.size, self.root = int(size), unb64(root)
        if len(self.root) != 32:
            raise ValueError("this is not a checkpoint")


class Policy:
    def __init__(self, text):
        self.logs, self.witnesses, rules, quorum = [], [], {"none": lambda names: True}, []
        members = set()
        for line in text.split("\n"):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            if words[0] == "log" and len(words) in (2, 3):
                self.logs.append(NoteKey(words[1]))
            elif words[0] == "witness" and len(words) in (3, 4) and words[1] not in rules:
                self.witnesses.append((words[1], NoteKey(words[2])))
                rules[words[1]] = lambda names, name=words[1]: name in names
            elif words[0] == "group" and len(words) > 3 and words[1] not in rules:
                parts = [rules[name] for name in words[3:] if name != "none" and name not in members]
                members.update(words[3:])
                least = {"any": 1, "all": len(parts)}.get(words[2]) or int(words[2])
                if len(parts) != len(words) - 3 or not 1 <= least <= len(parts):
                    raise ValueError(f"policy: {line}")
                rules[words[1]] = lambda names, parts=parts, least=least: sum(part(names) for part in parts) >= least
            elif words[0] == "quorum" and len(words) == 2 and not quorum:
                quorum.append(rules[words[1]])
            else:
                raise ValueError(f"policy: {line}")
        if not quorum or any(key.type == 4 for key in self.logs) or any(key.type != 4 for _, key in self.witnesses):
            raise ValueError("policy: no quorum, or a key in the wrong place")
        self.quorum = quorum[0]

    def judge(self, text, origin):
        """The note, the key of the log that signed it, its cosignatures' times, and whether they are enough."""
        note = Note(text)
        if note.origin != origin:
            raise ValueError("it is of another log")
        signed = [key for key in self.logs if key.name == origin and key.signed(note) is not None]
        if not signed:
            raise ValueError("no log key of the policy signed it")
        times = {name: key.signed(note) for name, key in self.witnesses}
        names = {name for name, time in times.items() if time is not None}
        return note, signed[0], [times[name] for name in names], self.quorum(names)


def leaf_hash(leaf):
    return sha256(b"\0" + leaf)


def fold(hashes):
    """RFC 6962 tree hash over subtrees of one size but the last."""
    if not hashes:
        return sha256(b"")
    while len(hashes) > 1:
        above = [sha256(b"\1" + hashes[i] + hashes[i + 1]) for i in range(0, len(hashes) - 1, 2)]
        if len(hashes) % 2:
            above.append(hashes[-1])
        hashes = above
    return hashes[0]


def included(index, size, leaf, proof, root):
    """RFC 9162 §2.1.3.2."""
    if index >= size:
        return False
    fn, sn, r = index, size - 1, leaf
    for p in proof:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            r = sha256(b"\1" + p + r)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = sha256(b"\1" + r + p)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and r == root


class Tree:
    """Roots of all whole subtrees, so that the root at any size is a few hashes."""

    def __init__(self, hashes):
        self.levels = [hashes]
        while len(self.levels[-1]) > 1:
            below = self.levels[-1]
            self.levels.append([sha256(b"\1" + below[i] + below[i + 1]) for i in range(0, len(below) - 1, 2)])

    def root(self, size):
        peaks, at = [], 0
        for level in range(len(self.levels) - 1, -1, -1):
            if size - at >= 1 << level:
                peaks.append(self.levels[level][at >> level])
                at += 1 << level
        root = peaks.pop() if peaks else sha256(b"")
        while peaks:
            root = sha256(b"\1" + peaks.pop() + root)
        return root


# --- Leaves and openings ---

TEXT = r'(?:[ !#-\[\]-~]|\\["\\])*'
UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
DIGEST = '"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]"'
LEAF = re.compile(
    r'\{"act":"(?:signer|client|operator|system|anonymous)"(?:,"api":"[a-z0-9_]{1,16}")?,"boot":"%s","ev":"[a-z_.]{1,64}"'
    r'(?:,"f":\{.*?\})?(?:,"n":(?:0|[1-9][0-9]{0,4}))?,"node":"%s","op":"%s","out":"(?:ok|refused|failed|indeterminate)"'
    r',"ph":[0-5](?:,"rid":"%s")?,"sd":\[(?:%s(?:,%s)*)?\],"seq":(?:0|[1-9][0-9]{0,15})'
    r',"t":"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z","v":1(?:,"why":"%s")?\}'
    % (UUID, TEXT, UUID, TEXT, DIGEST, DIGEST, TEXT)
)


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def unique(pairs):
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a member twice")
    return value


def parse_leaf(data):
    """None for what is not a leaf of §3."""
    try:
        text = data.decode("ascii")
        if not LEAF.fullmatch(text):
            return None
        leaf = json.loads(text, object_pairs_hook=unique)
        if compact(leaf) != text or leaf["seq"] >= 2**53 or leaf["sd"] != sorted(set(leaf["sd"])):
            return None
        facts = leaf.setdefault("f", {})
        names = list(facts)
        for name, value in facts.items():
            plain = isinstance(value, str) or (type(value) is int and abs(value) < 2**53)
            if not plain or not re.fullmatch("[A-Za-z][A-Za-z0-9_]{0,63}", name):
                return None
        if names != sorted(names):
            return None
        leaf["ms"] = milliseconds(leaf["t"])
        return leaf
    except (ValueError, KeyError, RecursionError):
        return None


def milliseconds(text):
    year, month, day, hour, minute, second, fraction = (int(part) for part in re.split(r"[-T:.]", text[:-1]))
    if not (1 <= month <= 12 and 1 <= day <= calendar.monthrange(year, month)[1] and hour < 24 and minute < 60 and second < 60):
        raise ValueError("not a time")
    return calendar.timegm((year, month, day, hour, minute, second)) * 1000 + fraction


def js_string(text):
    """As JSON.stringify writes it."""
    return re.sub("[\ud800-\udfff]", lambda match: "\\u%04x" % ord(match[0]), json.dumps(text, ensure_ascii=False))


def opening_fields(opening, leaf):
    """The fields of an opening that fits its leaf. Raises ValueError."""
    seed, fields = unb64url(opening["seed"]), {}
    if len(seed) != 32 or opening["class"] not in (1, 2) or not opening["fields"]:
        raise ValueError("an opening is not one")
    sd = set(leaf["sd"])
    for name, value in opening["fields"]:
        if not re.fullmatch(r"[a-z]{1,16}(?:\[(?:0|[1-9][0-9]{0,4})\])?", name) or not isinstance(value, str):
            raise ValueError("an opening holds something else than names and values")
        if name in fields or (name == "ip") != (opening["class"] == 2):
            raise ValueError(f"an opening of class {opening['class']} names {name}")
        salt = b64url(hmac.new(seed, name.encode(), "sha256").digest()[:16])
        body = f"[{js_string(salt)},{js_string(name)},{js_string(value)}]".encode()
        if b64url(sha256(b64url(body).encode())) not in sd:
            raise ValueError(f"the opening of {name} does not fit the leaf")
        fields[name] = value
    return fields


# --- Passkeys (§7) ---


def cose_key(data):
    at = 0

    def head():
        nonlocal at
        major, info = data[at] >> 5, data[at] & 31
        at += 1
        if info < 24:
            return major, info
        width = 1 << (info - 24)
        if width > 4:
            raise ValueError("not a COSE key")
        at += width
        return major, int.from_bytes(data[at - width : at], "big")

    major, count = head()
    if major != 5:
        raise ValueError("not a COSE key")
    key = {}
    for _ in range(count):
        kind, label = head()
        label = -1 - label if kind == 1 else label
        kind, value = head()
        if kind == 2:
            key[label] = data[at : at + value]
            at += value
        else:
            key[label] = -1 - value if kind == 1 else value
    number = lambda label: int.from_bytes(key[label], "big")
    if (key[1], key[3]) == (2, -7) and key[-1] == 1:
        return P256(number(-2), number(-3))
    if (key[1], key[3]) == (1, -8) and key[-1] == 6:
        return Ed25519(key[-2])
    if (key[1], key[3]) == (3, -257):
        return Rs256(number(-1), number(-2))
    raise ValueError("a passkey of this kind is not known here")


def check_assertion(text, fields, leaf):
    """Raises when the assertion is not one over what the entry says."""
    assertion = json.loads(text)
    response = assertion["response"]["response"]
    client_data, data = unb64url(response["clientDataJSON"]), unb64url(response["authenticatorData"])
    client = json.loads(client_data)
    statement = assertion["statement"]
    if client["type"] != "webauthn.get" or client["origin"] != assertion["origin"]:
        raise ValueError("the passkey answered somebody else")
    if client["challenge"] != b64url(sha256(statement.encode())):
        raise ValueError("the passkey answered another question")
    if data[:32] != sha256(assertion["id"].encode()) or data[32] & 5 != 5:
        raise ValueError("the passkey belongs to another place, or did not verify its user")
    key = cose_key(unb64url(assertion["publicKey"]))
    if not key.verify(data + sha256(client_data), unb64url(response["signature"])):
        raise ValueError("the signature of the passkey is not one")
    form, _, approval, client_id, credential, _, total, _, *digests = statement.split("\n")
    kind = leaf["f"].get("kind")
    if kind == "creation":
        digests.pop()
    expected = "paraph/approve/v1" if kind == "credential" else f"paraph/approve-{kind}/v1"
    if "ceiling" in leaf["f"]:
        expected = "paraph/approve-session/v1"
        if digests[0] != str(leaf["f"]["ceiling"]):
            raise ValueError("the passkey approved another number of signatures")
        digests = digests[2:]
    said = [form, approval, client_id, credential, total, digests]
    entry = [
        expected,
        *(fields["approval"], fields["client"], fields.get("credential", "")),
        *(str(leaf["f"].get("total", 0)), dtbsr(fields, leaf)),
    ]
    if said != entry:
        raise ValueError("the passkey approved something else than the entry says")
    return assertion["publicKey"]


def dtbsr(fields, leaf):
    """The digests, None when they are not as many as the entry counts."""
    count = leaf.get("n", 0)
    digests = [fields.get(f"dtbsr[{i}]") for i in range(count)]
    return None if None in digests or f"dtbsr[{count}]" in fields else digests


FOUR = ("signer", "client", "credential", "session")
MUST = {
    "sign.intent": FOUR + ("authorization",),
    "sign.repeated": FOUR + ("authorization",),
    "sad.issued": FOUR + ("authorization", "factor"),
    "sad.extended": FOUR + ("authorization",),
    "sad.revoked": ("authorization",),
    "auth.session_ended": ("session",),
    "factor.enrolled": ("signer", "factor"),
    "factor.revoked": ("signer", "factor"),
    "factor.ended": ("signer",),
    "approval.granted": FOUR + ("approval", "factor", "assertion"),
    "signer.invited": ("actor", "signer"),
    "operator.vouched": ("actor", "signer"),
}
ANY_OUTCOME = {"sad.revoked", "auth.session_ended", "factor.revoked", "factor.ended"}


def must_open(leaf):
    ev = leaf["ev"]
    if leaf["out"] != "ok" and ev not in ANY_OUTCOME:
        return None
    if ev == "sign.outcome":
        return tuple(f"sigh[{i}]" for i in range(leaf.get("n", 0)))
    if ev == "approval.granted" and leaf["f"].get("factor") != "passkey":
        return None
    if ev == "approval.granted" and leaf["f"].get("kind") == "creation":
        return tuple(name for name in MUST[ev] if name != "credential")
    if ev == "factor.enrolled" and leaf["f"].get("kind") == "recovery":
        return None
    if ev == "signer.invited" and leaf["act"] != "operator":
        return None
    return MUST.get(ev)


FRONT = {"audit.stop", "credential.listed", "credential.read", "auth.session_read", "access.refused"}
KEEPER = {
    *("audit.start", "audit.stop", "audit.heartbeat", "audit.anchored", "audit.read", "audit.export", "audit.fork_detected"),
    *("clock.sync", "clock.step", "clock.unsynced"),
}
PHASE = {"sign.intent": 1, "sign.outcome": 2, "sign.denied": 3, "sign.abandoned": 4, "sign.withheld": 5}
DAY = 86_400_000


class Recurring:
    """Something that has to come again within some time. What is late is told when no clock.step explains it."""

    def __init__(self, within, tell):
        self.within, self.tell, self.last, self.late = within, tell, 0, None

    def came(self, ms):
        if self.late and ms > self.late["since"] + self.within:
            self.finish()
        self.last = max(self.last, ms)

    def moved(self, ms, by):
        self.last = max(self.last, min(ms, self.last + by))
        if self.late and self.late["by"] - by <= self.within:
            self.late = None

    def asked(self, index, ms):
        if ms - self.last <= self.within:
            return
        if self.late is None:
            self.late = {"index": index, "since": self.last, "by": 0}
        self.late["by"] = max(self.late["by"], ms - self.late["since"])

    def finish(self):
        if self.late:
            self.tell(self.late["index"], self.late["since"])
        self.late = None


class Verification:
    def __init__(self, root, policy):
        self.root, self.policy = root, policy
        self.faults, self.incomplete = [], []
        self.origin, self.size = "", 0

    def fault(self, rule, what, index=None, file=None):
        if len(self.faults) < MOST_FINDINGS:
            self.faults.append(finding(rule, what, index, file))

    def read(self, path):
        handle = os.open(os.path.join(self.root, path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            return file.read()

    def lines(self, path):
        data = self.files[path]
        if data and not data.endswith(b"\n"):
            raise Fault("R2", "does not end with a line feed", file=path)
        return data.split(b"\n")[:-1]

    def run(self, since, receipts):
        self.read_files()
        self.judge_manifest()
        self.judge_tree()
        self.open_all()
        self.judge_writers()
        self.judge_flushes()
        self.judge_operations()
        self.judge_silence()
        self.judge_checkpoints(since)
        self.judge_anchors()
        for name, text in receipts:
            self.judge_receipt(name, text)

    # R2

    def read_files(self):
        self.files = {}
        for folder, folders, names in os.walk(self.root):
            for name in folders + names:
                path = os.path.relpath(os.path.join(folder, name), self.root).replace(os.sep, "/")
                mode = os.lstat(os.path.join(self.root, path)).st_mode
                if stat.S_ISREG(mode):
                    self.files[path] = self.read(path)
                elif not stat.S_ISDIR(mode):
                    raise Fault("R2", "is neither a file nor a folder", file=path)
        if "checkpoint" not in self.files:
            raise Fault("R2", "is missing", file="checkpoint")
        try:
            text = self.files["checkpoint"].decode()
            self.origin = Note(text).origin
            self.newest = self.policy.judge(text, self.origin)
        except ValueError as error:
            raise Fault("R1", str(error), file="checkpoint")
        self.size = self.newest[0].size
        if self.size == 0:
            raise Fault("R1", "is of size 0", file="checkpoint")
        if not self.newest[3]:
            self.fault("R1", "too few witnesses cosigned it", file="checkpoint")

    def judge_manifest(self):
        lines, before, named = self.files.get("MANIFEST", b"").decode("latin-1").split("\n"), "", set()
        if lines.pop() != "":
            raise Fault("R2", "does not end with a line feed", file="MANIFEST")
        for line in lines:
            digest, path = line[:64], line[66:]
            if line[64:66] != "  " or path <= before or path == "MANIFEST" or path not in self.files:
                raise Fault("R2", f"a line is wrong: {line[:160]}", file="MANIFEST")
            if hashlib.sha256(self.files[path]).hexdigest() != digest:
                self.fault("R2", "is not the file that MANIFEST means", file=path)
            before = path
            named.add(path)
        missing = set(self.files) - named - {"MANIFEST"}
        if missing:
            raise Fault("R2", "MANIFEST does not name it", file=min(missing))

    def judge_tree(self):
        expected = {"MANIFEST", "checkpoint", "checkpoints.jsonl", "entries.jsonl", "openings.jsonl", "flushes.jsonl"}
        missing = expected - set(self.files)
        if missing:
            raise Fault("R2", "is missing", file=min(missing))
        self.raw, self.leaves = [], []
        for n, width in tiles_of(self.size):
            path = tile_path("entries", n, width)
            expected.add(path)
            bundle, at = self.files.get(path), 0
            if bundle is None:
                raise Fault("R2", "is missing", file=path)
            for _ in range(width):
                length = int.from_bytes(bundle[at : at + 2], "big")
                data = bundle[at + 2 : at + 2 + length]
                if at + 2 > len(bundle) or len(data) != length:
                    raise Fault("R2", "ends inside an entry", file=path)
                leaf = parse_leaf(data)
                if leaf is None:
                    raise Fault("R2", "the entry is not a leaf", len(self.raw), path)
                self.raw.append(data)
                self.leaves.append(leaf)
                at += 2 + length
            if at != len(bundle):
                raise Fault("R2", f"has not {width} entries", file=path)
        self.hashes = [leaf_hash(data) for data in self.raw]
        self.tree = Tree(self.hashes)
        level, hashes = 0, self.hashes
        while hashes:
            for n, width in tiles_of(len(hashes)):
                path = tile_path(level, n, width)
                expected.add(path)
                tile = b"".join(hashes[n * 256 : n * 256 + width])
                if self.files.get(path) != tile:
                    index = None
                    if level == 0 and path in self.files:
                        index = n * 256 + next(
                            (i for i in range(width) if self.files[path][32 * i : 32 * i + 32] != hashes[n * 256 + i]), 0
                        )
                    self.fault("R2", "is not the tile that follows from the entries", index, path)
            level += 1
            hashes = [fold(hashes[i : i + 256]) for i in range(0, len(hashes) - 255, 256)]
        for path in self.files:
            if path not in expected and not re.fullmatch(r"anchors/[1-9][0-9]{0,15}\.tsr", path):
                raise Fault("R2", "does not belong into this pack", file=path)
        lines = self.files["entries.jsonl"].split(b"\n")
        for index, data in enumerate(self.raw):
            if index >= len(lines) - 1 or lines[index] != data:
                self.fault("R2", "the line is not the entry of the tree", index, "entries.jsonl")
                return
        if len(lines) != self.size + 1 or lines[-1]:
            self.fault("R2", "has more lines than the tree has entries", file="entries.jsonl")

    # R8

    def open_all(self):
        self.opened, before, broken = {}, (-1, 0), False
        for line in self.lines("openings.jsonl"):
            try:
                text = line.decode()
                opening = json.loads(text)
                fields = ",".join(f"[{','.join(js_string(part) for part in field)}]" for field in opening["fields"])
                index, kind = opening["idx"], opening["class"]
                same = f'{{"idx":{index},"class":{kind},"seed":{js_string(opening["seed"])},"fields":[{fields}]}}'
                if same != text or type(index) is not int:
                    raise ValueError("an opening is not what it should be")
            except (ValueError, KeyError, TypeError, RecursionError):
                self.fault("R8", "a line is not an opening", file="openings.jsonl")
                broken = True
                continue
            if index >= self.size or (index, kind) <= before:
                self.fault("R8", "an opening is not where its index belongs", index, "openings.jsonl")
                broken = True
                continue
            before = (index, kind)
            try:
                fields = opening_fields(opening, self.leaves[index])
                if kind == 1:
                    self.opened[index] = fields
            except (ValueError, TypeError) as error:
                self.fault("R8", str(error), index, "openings.jsonl")
                broken = True
        if not broken:
            self.judge_missing()

    def judge_missing(self):
        erased, missing = [], []
        for index, leaf in enumerate(self.leaves):
            if leaf["ev"] == "audit.erase" and leaf["out"] == "ok":
                said = erased_by(leaf["f"], index)
                if said is not None:
                    erased.append(said)
            if must_open(leaf) and index not in self.opened:
                missing.append(index)
        ranges = []
        for first, last, count in sorted(erased):
            if ranges and first <= ranges[-1][1]:
                ranges[-1] = [ranges[-1][0], max(last, ranges[-1][1]), ranges[-1][2] + count]
            else:
                ranges.append([first, last, count])
        for first, last, count in ranges:
            begin, end = bisect.bisect_left(missing, first), bisect.bisect_right(missing, last)
            if end - begin <= count:
                del missing[begin:end]
        if missing:
            self.incomplete.append(finding("R8", f"{len(missing)} openings are missing that nobody erased", missing[0]))

    # R5

    def judge_writers(self):
        first = self.leaves[0]
        if first["ev"] != "audit.init" or first["f"].get("origin") != self.origin:
            raise Fault("R1" if first["ev"] == "audit.init" else "R5", "the log does not begin with its making", 0)
        try:
            device = p256_spki(unb64url(str(first["f"].get("device"))))
        except ValueError as error:
            raise Fault("R5", str(error), 0)
        self.boots, self.named = {}, {}
        for index, leaf in enumerate(self.leaves):
            if leaf["ev"] == "audit.start":
                self.judge_start(index, leaf, device)
            elif leaf["ev"] == "audit.key":
                self.judge_key(index, leaf, device)
        last = {}
        for index, leaf in enumerate(self.leaves):
            boot, ev, known = leaf["boot"], leaf["ev"], self.boots.get(leaf["boot"])
            if known is None:
                self.fault("R5", f"nobody announced boot {boot}", index)
                continue
            seq, time = last.get(boot, (-1, 0))
            itself = known["at"] == index and ev == "audit.start"
            began = known["kind"] == "init" and index == 0 and known["at"] == 1
            if known["at"] >= index and not itself and not began:
                self.fault("R5", "the writer is announced later", index)
            if leaf["seq"] != seq + 1:
                self.fault("R5", f"number {leaf['seq']} follows on {seq}", index)
            if leaf["ms"] < time:
                self.fault("R5", "the time goes back", index)
            if leaf["node"] != known["host"]:
                self.fault("R5", "the writer has another name", index)
            allowed = {"front": FRONT, "keeper": KEEPER}.get(known["kind"])
            if (allowed is not None and ev not in allowed) or (ev == "audit.init" and index):
                self.fault("R5", f"a boot of kind {known['kind']} wrote {ev}", index)
            last[boot] = (leaf["seq"], leaf["ms"])

    def judge_start(self, index, leaf, device):
        f = leaf["f"]
        writer, kind = f.get("writer"), f.get("kind")
        if writer in self.boots or kind not in ("init", "sam", "front", "keeper") or not isinstance(writer, str):
            self.fault("R5", "the announcement is not one", index)
            return
        text = "".join(f"{part}\n" for part in ("paraph/boot/v1", self.origin, writer, kind, f.get("host"), f.get("key")))
        try:
            signature = unb64url(f["signature"])
            key = ed25519_spki(unb64url(f["key"]))
        except (ValueError, KeyError, TypeError):
            signature, key = b"", None
        keys = [key for key, _ in self.named.values()] if kind == "keeper" else [device]
        if not any(key.verify(text.encode(), signature) for key in keys):
            self.fault("R5", "the announcement is not signed by whom it should be", index)
        by = self.boots.get(leaf["boot"], {}).get("kind")
        if (kind == "init") != (index == 1) or (kind == "keeper") > (leaf["boot"] == writer) or by == "keeper":
            self.fault("R5", "the announcement may not stand here", index)
        self.boots[writer] = {"kind": kind, "host": f.get("host"), "at": index, "key": key}

    def judge_key(self, index, leaf, device):
        try:
            vkey = leaf["f"]["vkey"]
            key = NoteKey(vkey)
            signed = f"paraph/checkpoint-key/v1\n{self.origin}\n{vkey}\n".encode()
            if key.name != self.origin or key.type == 4 or not device.verify(signed, unb64url(leaf["f"]["signature"])):
                raise ValueError("the checkpoint key is not one of this log")
            self.named.setdefault(vkey, (key.key, index))
        except (ValueError, KeyError, TypeError) as error:
            self.fault("R5", str(error), index)

    def judge_flushes(self):
        file, numbers, at = "flushes.jsonl", {}, 0
        for line in self.lines(file):
            try:
                flush = json.loads(line)
                boot, no, first = flush["boot"], flush["no"], flush["first"]
                body, signature = unb64(flush["body"]), unb64(flush["signature"])
                members = {"boot": boot, "no": no, "first": first, "body": flush["body"], "signature": flush["signature"]}
                if compact(members).encode() != line or type(no) is not int or type(first) is not int:
                    raise ValueError("not written as it should be")
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                self.fault("R5", f"a line is not a flush: {error}", file=file)
                continue
            if first != at:
                self.fault("R5", "the flushes do not cover the log", min(first, at), file)
                at = first
            if no != numbers.get(boot, 0):
                self.fault("R5", f"flush {no} follows on {numbers.get(boot, 0) - 1}", first, file)
            numbers[boot] = no + 1
            key = self.boots.get(boot, {}).get("key")
            if key is None or not key.verify(f"paraph/flush/v1\n{boot}\n{no}\n".encode() + body, signature):
                self.fault("R5", "the flush is not signed by its writer", first, file)
            offset = 0
            while offset < len(body):
                count, end = body[offset], offset + 1 + 32 * body[offset]
                if count not in (1, 2) or end > len(body) or at >= self.size:
                    self.fault("R5", "the flush is not of entries of this log", min(at, self.size - 1), file)
                    break
                offered = [body[i : i + 32] for i in range(offset + 1, end, 32)]
                if self.hashes[at] not in offered or self.leaves[at]["boot"] != boot:
                    self.fault("R5", "the entry is not one that its writer committed", at, file)
                at, offset = at + 1, end
            if at == first:
                self.fault("R5", "the flush is empty", first, file)
        if at != self.size:
            self.fault("R5", "the entry came in no flush", min(at, self.size - 1), file)

    # R3, R4, R9

    def judge_operations(self):
        self.intents, self.ends, self.phases = {}, {}, {}
        self.grants, self.sessions, self.factors, self.approvals = {}, {}, {}, {}
        self.passkeys, self.invited, self.lacking = {}, {}, {}
        for index, leaf in enumerate(self.leaves):
            self.judge_phase(index, leaf)
            if leaf["ev"] in ("sign.outcome", "sign.abandoned", "sign.withheld"):
                self.judge_end(index, leaf)
            names = must_open(leaf)
            if not names:
                continue
            fields = self.opened.get(index)
            if fields is None:
                self.lacking[leaf["ev"]] = leaf["ms"]
                if leaf["ev"] == "sign.intent":
                    self.intents[leaf["op"]] = (index, leaf, None)
                continue
            absent = next((name for name in names if name not in fields), None)
            if absent is not None or (leaf["ev"] != "sign.outcome" and dtbsr(fields, leaf) is None):
                self.fault("R8", f"{absent or 'a digest'} of {leaf['ev']} is not opened", index)
                continue
            judge = getattr(self, "on_" + leaf["ev"].replace(".", "_"), None)
            if judge is not None:
                judge(index, leaf, fields)
        last = self.leaves[-1]["ms"]
        for op, (index, leaf, _) in self.intents.items():
            if op not in self.ends and last - leaf["ms"] > 600_000:
                self.fault("R3", f"intention {op} has no end", index)

    def judge_phase(self, index, leaf):
        ev, phase = leaf["ev"], leaf["ph"]
        if PHASE.get(ev, 0) != phase and (ev.startswith("sign.") or phase == 1):
            self.fault("R3", f"{ev} stands in phase {phase}", index)
        seen = self.phases.setdefault(leaf["op"], set())
        if phase in seen or {1: 3, 3: 1}.get(phase) in seen:
            self.fault("R3", "its operation has such an entry already, or is both intended and denied", index)
        seen.add(phase)

    def judge_end(self, index, leaf):
        op, ev = leaf["op"], leaf["ev"]
        if op in self.ends and ev == "sign.withheld":
            return
        if op not in self.intents or op in self.ends:
            self.fault("R3", f"{ev} has no earlier intention, or is not its only end", index)
            return
        ok = ev == "sign.outcome" and leaf["out"] == "ok"
        if ok and leaf.get("n", 0) != self.intents[op][1].get("n", 0):
            self.fault("R3", "not as many signatures as digests", index)
        self.ends[op] = (ok, leaf["ms"])

    def on_sign_intent(self, index, leaf, fields):
        digests, ms = dtbsr(fields, leaf), leaf["ms"]
        said = [fields[name] for name in MUST["sign.intent"]] + digests
        self.intents[leaf["op"]] = (index, leaf, said)
        if not digests:
            self.fault("R3", "it intends no signature", index)
        grant = self.grants.get(fields["authorization"])
        if grant is None:
            if self.lacking.get("sad.issued", -DAY) < ms - DAY:
                self.fault("R4", "no such authorization was granted", index)
            return
        if grant["whose"] != [fields[name] for name in FOUR] or ms - grant["ms"] > DAY:
            self.fault("R4", "the authorization is somebody else's, or too old", index)
        ended = min(grant["ended"], self.sessions.get(grant["whose"][3], ms))
        if ms - ended > 5000:
            self.fault("R4", "the authorization had ended", index)
        before = grant["left"]
        grant["left"] -= len(digests)
        if before >= 0 > grant["left"]:
            self.fault("R4", "more signatures than were granted", index)
        if grant["bound"]:
            for digest in digests:
                left = grant["digests"].get(digest, 0)
                grant["digests"][digest] = max(0, left - 1)
                if left == 0 and "sad.extended" not in self.lacking:
                    self.fault("R4", "a digest that was not granted, or not so often", index)
                    break

    def on_sign_repeated(self, index, leaf, fields):
        first = leaf["f"].get("first")
        ok, ms = self.ends.get(first, (False, 0))
        said = [fields[name] for name in MUST["sign.intent"]] + dtbsr(fields, leaf)
        if not ok or leaf["ms"] - ms > 3_600_000:
            self.fault("R3", "it repeats nothing that was released", index)
        elif self.intents[first][2] not in (None, said):
            self.fault("R3", "it repeats something else than it says", index)

    def on_sad_issued(self, index, leaf, fields):
        f, digests, key = leaf["f"], dtbsr(fields, leaf), fields["authorization"]
        if key in self.grants:
            self.fault("R4", "an authorization is granted twice", index)
        if f.get("kind") not in ("bound", "open") or type(f.get("total")) is not int or f["total"] < 1:
            self.fault("R4", "the grant does not say what it grants", index)
            return
        if self.factors.get(fields["factor"]) != fields["signer"] and "factor.enrolled" not in self.lacking:
            self.fault("R4", "the factor was not enrolled for this signer, or had ended", index)
        if f.get("factor") == "passkey":
            name = approval_name(fields, f.get("session") == 1, digests)
            fit = next((total for total in self.approvals.get(name, []) if total >= f["total"]), None)
            if fit is not None:
                self.approvals[name].remove(fit)
            elif "approval.granted" not in self.lacking:
                self.fault("R4", "no approval by this passkey allows this grant", index)
        counts = {}
        for digest in digests:
            counts[digest] = counts.get(digest, 0) + 1
        self.grants[key] = {
            "ms": leaf["ms"],
            "whose": [fields[name] for name in FOUR],
            "bound": f["kind"] == "bound",
            "remembered": f.get("session") == 1,
            "left": f["total"],
            "digests": counts,
            "ended": float("inf"),
        }

    def on_sad_extended(self, index, leaf, fields):
        grant, digests = self.grants.get(fields["authorization"]), dtbsr(fields, leaf)
        if grant is None:
            if "sad.issued" not in self.lacking:
                self.fault("R4", "no such authorization was granted", index)
            return
        if grant["whose"] != [fields[name] for name in FOUR]:
            self.fault("R4", "the authorization is somebody else's", index)
        if digests and not grant["remembered"]:
            self.fault("R4", "digests are added to a grant that was not remembered", index)
        for digest in digests:
            grant["digests"][digest] = grant["digests"].get(digest, 0) + 1

    def on_sad_revoked(self, index, leaf, fields):
        grant = self.grants.get(fields["authorization"])
        if grant is not None:
            grant["ended"] = min(grant["ended"], leaf["ms"])

    def on_auth_session_ended(self, index, leaf, fields):
        self.sessions.setdefault(fields["session"], leaf["ms"])

    def on_factor_enrolled(self, index, leaf, fields):
        if self.factors.get(fields["factor"], fields["signer"]) != fields["signer"]:
            self.fault("R4", "a factor is enrolled for a second signer", index)
        self.factors[fields["factor"]] = fields["signer"]

    def on_factor_revoked(self, index, leaf, fields):
        if "factor" in fields:
            if self.factors.get(fields["factor"]) == fields["signer"]:
                del self.factors[fields["factor"]]
        else:
            self.factors = {factor: signer for factor, signer in self.factors.items() if signer != fields["signer"]}

    on_factor_ended = on_factor_revoked

    def on_approval_granted(self, index, leaf, fields):
        try:
            shown = check_assertion(fields["assertion"], fields, leaf)
        except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
            self.fault("R4", f"the assertion: {error}", index)
            return
        if self.passkeys.setdefault(fields["factor"], shown) != shown:
            self.fault("R4", "a passkey answers with another key than before", index)
        if leaf["f"].get("kind") != "credential":
            return
        f = leaf["f"]
        name = approval_name(fields, "ceiling" in f, dtbsr(fields, leaf))
        self.approvals.setdefault(name, []).append(f.get("ceiling", f.get("total", 0)))

    def on_signer_invited(self, index, leaf, fields):
        self.invited[fields["signer"]] = fields["actor"]

    def on_operator_vouched(self, index, leaf, fields):
        if self.invited.get(fields["signer"]) == fields["actor"]:
            self.fault("R9", "an operator vouches for a link that he gave himself", index)

    # R6

    def judge_silence(self):
        up, unsynced = set(), 0

        def silent(index, since):
            self.fault("R6", "the keeper was silent", index)

        def unset(index, since):
            if unsynced < since:
                self.fault("R6", "no clock was synchronized for a day", index)
            else:
                self.incomplete.append(finding("R6", "no clock was synchronized for a day, as the log says", index))

        beats, syncs = Recurring(90_000, silent), Recurring(DAY, unset)
        for index, leaf in enumerate(self.leaves):
            ev, ms = leaf["ev"], leaf["ms"]
            if ev == "audit.start":
                if not up:
                    syncs.came(ms)
                if leaf["f"].get("kind") == "keeper":
                    up.add(leaf["f"].get("writer"))
                beats.came(ms)
                continue
            if up:
                beats.asked(index, ms)
                syncs.asked(index, ms)
            if ev == "audit.stop":
                up.discard(leaf["boot"])
                if not up:
                    beats.finish()
                    syncs.finish()
            elif ev == "audit.heartbeat":
                beats.came(ms)
            elif ev == "clock.sync":
                syncs.came(ms)
            elif ev == "clock.unsynced":
                unsynced = max(unsynced, ms)
            elif ev == "clock.step" and isinstance(leaf["f"].get("step"), int):
                beats.moved(ms, leaf["f"]["step"])
                syncs.moved(ms, leaf["f"]["step"])
        beats.finish()
        syncs.finish()

    # R1, R7

    def judge_checkpoints(self, since):
        file, before, latest, self.texts = "checkpoints.jsonl", 0, [], {}
        for leaf in self.leaves:
            latest.append(max(leaf["ms"], latest[-1] if latest else 0))
        self.latest = latest
        for line in self.lines(file):
            try:
                given = json.loads(line)
                size, text = given["size"], given["note"]
                if f'{{"size":{size},"note":{js_string(text)}}}'.encode() != line:
                    raise ValueError("a line is not written as it should be")
                note, key, times, _ = self.policy.judge(text, self.origin)
                if note.size != size:
                    raise ValueError("the checkpoint is of another size than its line says")
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                self.fault("R1", str(error), file=file)
                continue
            if not before < size <= self.size:
                self.fault("R2", f"size {size} follows on {before}", file=file)
                continue
            before = size
            self.texts[size] = note.text
            self.judge_checkpoint(note, key, times, file)
        if before != self.size:
            self.fault("R2", f"ends at size {before}", file=file)
        self.judge_checkpoint(*self.newest[:3], "checkpoint")
        if since is not None:
            try:
                note = self.policy.judge(since, self.origin)[0]
                if note.size > self.size or (note.size and self.tree.root(note.size) != note.root):
                    raise ValueError("the log was rewritten, or has lost its end")
            except ValueError as error:
                self.fault("R2", f"the checkpoint that was kept: {error}")

    def judge_checkpoint(self, note, key, times, file):
        if self.tree.root(note.size) != note.root:
            self.fault("R2", f"the checkpoint of size {note.size} is of another tree", file=file)
        if self.named.get(key.vkey, (None, self.size))[1] >= note.size:
            self.fault("R1", f"the key of the checkpoint of size {note.size} was not named before", file=file)
        if any(1000 * time + 5000 < self.latest[note.size - 1] for time in times):
            self.fault("R7", "a cosignature is older than the entries below it", file=file)

    def judge_anchors(self):
        for path, data in self.files.items():
            if not path.startswith("anchors/"):
                continue
            size = int(path[8:-4])
            try:
                if size not in self.texts:
                    raise ValueError("there is no checkpoint of this size")
                if time_of_stamp(data, self.texts[size].encode()) + 5000 < self.latest[size - 1]:
                    raise ValueError("the time-stamp is older than the entries below it")
            except (ValueError, IndexError) as error:
                self.fault("R7", str(error), file=path)

    # R10

    def judge_receipt(self, name, text):
        try:
            head, _, checkpoint = text.partition("\n\n")
            lines = head.split("\n")
            if lines[0] != "c2sp.org/tlog-proof@v1" or not lines[1].startswith("extra ") or len(lines) > 66:
                raise ValueError("this is not a receipt")
            extra = json.loads(unb64(lines[1][6:]))
            index = int(re.fullmatch(r"index (0|[1-9][0-9]{0,15})", lines[2])[1])
            note = self.policy.judge(checkpoint, self.origin)[0]
            data = unb64(extra["leaf"])
            leaf = parse_leaf(data)
            if leaf is None or not included(index, note.size, leaf_hash(data), [unb64(line) for line in lines[3:]], note.root):
                raise ValueError("the leaf is not in the tree of its checkpoint")
            for opening in extra["openings"]:
                opening_fields(opening, leaf)
            if index < self.size and self.hashes[index] != leaf_hash(data):
                raise ValueError("the log holds another entry")
            if note.size > self.size:
                self.incomplete.append(finding("R10", "the receipt is of a later time than the pack", file=name))
            elif self.tree.root(note.size) != note.root:
                raise ValueError("its checkpoint is of another tree")
        except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
            self.fault("R10", str(error), file=name)


def erased_by(f, index):
    """First and last entry and number of openings of class 1 that an audit.erase says were erased, or None."""
    first, last, count = (f.get(name) for name in ("first", "last", "count"))
    if f.get("class") != 1 or any(type(number) is not int for number in (first, last, count)):
        return None
    if not re.fullmatch("[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]", str(f.get("root"))):
        return None
    return (first, last, count) if 0 <= first <= last < index and count > 0 else None


def approval_name(fields, remembered, digests):
    return tuple(fields[name] for name in ("signer", "client", "credential", "factor")) + (remembered, *digests)


def tiles_of(count):
    return [(n, min(256, count - 256 * n)) for n in range((count + 255) // 256)]


def tile_path(level, n, width):
    digits = str(n)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[i : i + 3] for i in range(0, len(digits), 3)]
    path = "/".join([f"x{group}" for group in groups[:-1]] + groups[-1:])
    return f"tile/{level}/{path}" + ("" if width == 256 else f".p/{width}")


def time_of_stamp(data, text):
    """Milliseconds of a granted RFC 3161 response over this text. Raises ValueError, IndexError."""
    _, response, end = der(data)
    (_, status), (_, token) = der_children(response)
    if end != len(data) or der_children(status)[0][1] not in (b"\0", b"\1"):
        raise ValueError("the time-stamp was not granted")
    (_, _), (_, wrapped) = der_children(token)
    info = der_children(der_children(wrapped)[0][1])[2][1]
    kind, content = der_children(info)
    if kind[1].hex() != "2a864886f70d0109100104":
        raise ValueError("the time-stamp holds something else")
    parts = der_children(der(der(content[1])[1])[1])
    algorithm, imprint = der_children(parts[2][1])
    if der_children(algorithm[1])[0][1].hex() != "608648016503040201" or imprint[1] != sha256(text):
        raise ValueError("the time-stamp is of another checkpoint")
    match = re.fullmatch(r"(\d{14})(\.\d{1,9})?Z", parts[4][1].decode("ascii"))
    if match is None:
        raise ValueError("the time of the time-stamp cannot be read")
    d = match[1]
    text = f"{d[:4]}-{d[4:6]}-{d[6:8]}T{d[8:10]}:{d[10:12]}:{d[12:14]}.{((match[2] or '.') + '000')[1:4]}Z"
    return milliseconds(text)


def main():
    class Parser(argparse.ArgumentParser):
        def error(self, message):
            self.print_usage(sys.stderr)
            self.exit(3, f"{message}\n")

    parser = Parser(description="Verifies a pack of the log.")
    parser.add_argument("dir")
    parser.add_argument("--policy", required=True)
    parser.add_argument("--since")
    parser.add_argument("--receipt", action="append", default=[])
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()

    def text_of(path):
        with open(path, encoding="utf-8", newline="") as file:
            return file.read()

    try:
        policy = Policy(text_of(given.policy))
        since = None if given.since is None else text_of(given.since)
        receipts = [(path, text_of(path)) for path in given.receipt]
    except (OSError, ValueError, KeyError) as error:
        parser.error(str(error))
    verification = Verification(given.dir, policy)
    try:
        verification.run(since, receipts)
    except Fault as error:
        verification.faults.append(error.finding)
    except OSError as error:
        verification.fault("R2", str(error))
    faults = sorted(verification.faults, key=lambda one: float("inf") if one["index"] is None else one["index"])
    verdict = "fault" if faults else "incomplete" if verification.incomplete else "ok"
    report = {"verdict": verdict, "origin": verification.origin, "size": verification.size}
    if given.json:
        print(json.dumps({**report, "faults": faults, "incomplete": verification.incomplete}))
    else:
        print(f"{verdict}: {verification.size} entries")
        for one in faults + verification.incomplete:
            print(re.sub("[^ -~]", "?", f"{one['rule']} entry {one['index']} {one['file'] or ''}: {one['what']}"))
    return {"ok": 0, "fault": 1, "incomplete": 2}[verdict]


if __name__ == "__main__":
    sys.exit(main())

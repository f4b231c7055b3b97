"""
What schemathesis needs to get past the door: accounts, tokens that are renewed, and in requests that are meant to be right
the values that no schema can give, such as an id of a credential or a code of this moment. Requests that are meant to be
wrong in one member get them in the others, lest they be refused for another reason. The accounts come in a file that
INTEROP_ACCOUNTS names; the test makes it.
"""

import atexit
import base64
import hashlib
import json
import os
import re
import threading
import time

import pyotp
import requests
import schemathesis

with open(os.environ["INTEROP_ACCOUNTS"], encoding="utf-8") as file:
    GIVEN = json.load(file)
URL = GIVEN["url"]
SHA256 = "2.16.840.1.101.3.4.2.1"
ECDSA_SHA256 = "1.2.840.10045.4.3.2"
# A session lasts 180 seconds.
RENEW_AFTER = 120
lock = threading.RLock()
# Headers that were given out, and whose they are.
owners = {}


class Account:
    """A signer, signed in."""

    def __init__(self, given):
        self.login, self.password, self.secret = given["login"], given["password"], given["secret"]
        self.credential, self.open_credential = given["credential"], given["openCredential"]
        self.token = None
        self.since = -RENEW_AFTER
        self.last_step = 0
        self.sad = None

    def bearer(self):
        if time.monotonic() - self.since >= RENEW_AFTER:
            self.forget()
            answer = requests.post(f"{URL}/csc/v2/auth/login", auth=(self.login, self.password), json={}, timeout=30)
            answer.raise_for_status()
            self.token, self.since = answer.json()["access_token"], time.monotonic()
            owners[f"Bearer {self.token}"] = self
        return f"Bearer {self.token}"

    def forget(self):
        self.since, self.sad = -RENEW_AFTER, None

    def code(self):
        """A code that was not used before, or None until the next one."""
        step = int(time.time()) // 30
        if step <= self.last_step:
            return None
        self.last_step = step
        # Of that step, and not of the one that may begin meanwhile: it would be used again in the next.
        return pyotp.TOTP(self.secret, digits=8).at(step * 30)

    def open_sad(self):
        """A SAD for many signatures in this session, or None where there is no code for one."""
        bearer = self.bearer()
        code = None if self.sad else self.code()
        if code:
            body = {
                "credentialID": self.open_credential,
                "numSignatures": 1000,
                "authData": [{"id": "OTP", "value": code}],
            }
            url = f"{URL}/csc/v2/credentials/authorize"
            answer = requests.post(url, headers={"Authorization": bearer}, json=body, timeout=30)
            if answer.status_code != 200:
                raise RuntimeError(f"authorize answered {answer.status_code} {answer.text}")
            self.sad = answer.json()["SAD"]
        return self.sad


READS, SIGNS, EXTENDS, GUESSES, ENDS = (Account(given) for given in GIVEN["accounts"][:5])
AGREES = [Account(given) for given in GIVEN["accounts"][5:]]
CLIENT = GIVEN["client"]
# Operations that a signer agrees to once: the token, and the member with what he agreed to.
ONCE = GIVEN["once"]
# The handle of a question that the signer was asked.
pending = {}


def account_of(operation):
    """Wrong codes slow their owner down, and what ends sessions ends those of one account."""
    if operation.endswith(("Authorize", "AuthorizeCheck", "v1SendOtp")):
        return GUESSES
    # A signer is not sent codes faster than he could read them.
    if operation.endswith(("SignHash", "v2SendOtp")):
        return SIGNS
    if operation.endswith(("ExtendTransaction", "GetChallenge")):
        return EXTENDS
    return ENDS if operation.endswith(("AuthRevoke", "signerStop")) else READS


def id_of(case):
    return case.operation.definition.raw["operationId"]


@schemathesis.auth(refresh_interval=None)
class Header:
    def get(self, case, context):
        operation = id_of(case)
        if operation.endswith("AuthLogin"):
            return "Basic " + base64.b64encode(f"{READS.login}:{READS.password}".encode()).decode("ascii")
        if operation in ONCE:
            return f"Bearer {ONCE[operation]['token']}"
        security = case.operation.definition.raw.get("security")
        if security == []:
            return None
        if security and "operator" in security[0]:
            return f"Bearer {GIVEN['auditor']}"
        if security and "ticket" in security[0]:
            return f"Bearer {ticket_of_export()}"
        with lock:
            return account_of(operation).bearer()

    def set(self, case, data, context):
        if data is not None:
            case.headers["Authorization"] = data


def is_right(case):
    return case.meta is not None and case.meta.generation.mode.is_positive


def digest(count):
    return base64.b64encode(hashlib.sha256(str(count).encode()).digest()).decode("ascii")


@schemathesis.hook
def before_call(context, case, kwargs):
    operation = id_of(case)
    with lock:
        account = owners.get(case.headers.get("Authorization"))
        # Requests are made ahead of the moment when they are sent.
        if account is not None:
            case.headers["Authorization"] = account.bearer()
        if not is_right(case):
            complete_around_fault(operation, case)
            return
        if operation.endswith("Authorize") and operation.startswith("oauth"):
            case.query.update(wish())
            for name in ("request_uri", "authorization_details", *CSC_PARAMETERS):
                case.query.pop(name, None)
        for name, value in IN_LOG.items():
            if name in case.path_parameters:
                case.path_parameters[name] = value
        if operation == "auditExport":
            # Of a checkpoint, which no schema can give.
            case.query.pop("size", None)
        if isinstance(case.body, dict):
            complete(operation, case, case.body)


# Steps of addresses that lead somewhere.
IN_LOG = {**GIVEN["inLog"], "rest": "entries/000.p/1"}
tickets = []


def ticket_of_export():
    if not tickets:
        headers = {"Authorization": f"Bearer {GIVEN['auditor']}"}
        answer = requests.post(f"{URL}/audit/v1/exports", headers=headers, timeout=30)
        answer.raise_for_status()
        tickets.append(answer.json()["ticket"])
    return tickets[0]


CSC_PARAMETERS = ("credentialID", "signatureQualifier", "numSignatures", "hashes", "hashAlgorithmOID", "account_token")


def wish():
    """The parameters of a good authorization request."""
    return {
        "client_id": CLIENT["clientId"],
        "redirect_uri": CLIENT["redirectUri"],
        "response_type": "code",
        "scope": "service",
        "code_challenge": base64.urlsafe_b64encode(hashlib.sha256(b"verifier").digest()).decode("ascii").rstrip("="),
        "code_challenge_method": "S256",
    }


def complete_around_fault(operation, case):
    """
    OAuth's are left as they are: its server ignores what a grant does not use (RFC 6749 §3.2), and tells a fault of an
    authorization request by sending the browser back.
    """
    if case.meta is None or not isinstance(case.body, dict) or operation.startswith("oauth"):
        return
    data = case.meta.phase.data
    faulty = set(re.findall(r"/properties/(\w+)", f"{data.location} {data.description}"))
    if not faulty:
        return
    whole = dict(case.body)
    complete(operation, case, whole)
    for name in set(case.body) - faulty:
        if name in whole:
            case.body[name] = whole[name]
        else:
            del case.body[name]


def complete(operation, case, body):
    """Makes a request that fits the schema one that can succeed."""
    account = account_of(operation)
    if "credentialID" in body:
        body["credentialID"] = account.credential
    for name in ("hash", "hashes"):
        if isinstance(body.get(name), list):
            body[name] = [digest(number) for number in range(min(len(body[name]), 3))]
    if "hashAlgorithmOID" in body or "hashes" in body:
        body["hashAlgorithmOID"] = SHA256
    if operation.endswith("Timestamp"):
        body.update(hash=digest(0), hashAlgo=SHA256)
    if operation.endswith("AuthLogin"):
        body.pop("refresh_token", None)
    if operation.endswith("CredentialsList"):
        body.pop("userID", None)
        body.pop("pageToken", None)
    if operation.endswith("AuthRevoke"):
        body["token"] = account.token
        body.pop("token_type_hint", None)
    if operation.endswith("CredentialsAuthorize"):
        agree(operation, case, body)
    if operation == "v2AuthorizeCheck" and "handle" in pending:
        body["handle"] = pending["handle"]
    if operation.endswith("SignHash") and account.open_sad():
        body.update(credentialID=account.open_credential, SAD=account.sad, signAlgo=ECDSA_SHA256)
        body.pop("hashAlgo", None)
        body.pop("operationMode", None)
        body.pop("signAlgoParams", None)
        body["hash" if operation.startswith("v1") else "hashes"] = [digest(0)]
    if operation.endswith("ExtendTransaction") and account.open_sad():
        body.update(credentialID=account.open_credential, SAD=account.sad)
        body.pop("hash", None)
        body.pop("hashes", None)
    if operation.endswith("GetChallenge"):
        body["authObjectID"] = "EMAIL"
    if operation in ONCE:
        do_once(ONCE[operation], body, is_right(case))
    if operation.startswith("oauth"):
        body["client_id"], body["client_secret"] = CLIENT["clientId"], CLIENT["clientSecret"]
        body.pop("client_assertion", None)
        body.pop("client_assertion_type", None)
        if operation.endswith("Token"):
            body["grant_type"] = "client_credentials"
        if operation.endswith("Revoke"):
            body["token"] = token_of_client()
        if operation.endswith("Push"):
            body.update(wish())


def do_once(agreed, body, right):
    """Later requests end at the door: so it is asked for other things than what was agreed to before."""
    if right:
        agreed["asked"] = agreed.get("asked", 0) + 1
    wish = "agreed" if not right or agreed["asked"] == 12 else "other"
    body[agreed["member"]] = agreed[wish]


def token_of_client():
    form = {"grant_type": "client_credentials", "client_id": CLIENT["clientId"], "client_secret": CLIENT["clientSecret"]}
    answer = requests.post(f"{URL}/oauth2/token", data=form, timeout=30)
    answer.raise_for_status()
    return answer.json()["access_token"]


def agree(operation, case, body):
    """To what is asked, with a code of whoever has a fresh one; or on our own pages."""
    body.pop("rememberSession", None)
    v1 = operation.startswith("v1")
    hashes = "hash" if v1 else "hashes"
    body[hashes] = [digest(0), digest(1)]
    body["numSignatures"] = 2
    if not v1:
        body["hashAlgorithmOID"] = SHA256
    body.pop("PIN", None)
    for account in AGREES if is_right(case) else []:
        code = account.code()
        if code is None:
            continue
        case.headers["Authorization"] = account.bearer()
        body["credentialID"] = account.credential
        if v1:
            body["OTP"] = code
        else:
            body["authData"] = [{"id": "OTP", "value": code}]
        return
    if not v1:
        body["authData"] = [{"id": "APPROVAL"}]


@schemathesis.hook
def after_call(context, case, response):
    operation, status = id_of(case), response.status_code
    if response.request.method != case.operation.method.upper():
        return
    with lock:
        counts = answers.setdefault(operation, {})
        counts[status] = counts.get(status, 0) + 1
        if status == 401 and case.headers.get("Authorization") in owners:
            owners[case.headers["Authorization"]].forget()
        if status == 204 and operation.endswith(("AuthRevoke", "signerStop")):
            ENDS.forget()
        if status == 200 and operation.endswith("ExtendTransaction"):
            EXTENDS.sad = response.json()["SAD"]
        if status == 202 and operation == "v2CredentialsAuthorize":
            pending["handle"] = response.json()["handle"]


# How often each operation gave each status.
answers = {}


@schemathesis.check
def refuses_strangers(context, response, case):
    """
    Instead of `ignored_auth` and `missing_required_header`, which want 401 of a request without a header: CSC has 400 for it
    (v1 §11.2 and the like, v2.2 §10). Whatever succeeded is sent again without a token, and with one that nobody has.
    """
    operation = id_of(case)
    if not 200 <= response.status_code < 300 or operation in guarded or not takes_bearer(case):
        return
    if response.request.method != case.operation.method.upper():
        return
    request = response.request
    # Ours, and not of CSC.
    without = (401, "invalid_token") if operation.startswith("audit") else (400, "invalid_request")
    for header, status, error in (
        (None, *without),
        ("Bearer of-nobody", 401, "invalid_token"),
    ):
        headers = {name: value for name, value in request.headers.items() if name.lower() != "authorization"}
        headers = {name: value if isinstance(value, str) else value[0] for name, value in headers.items()}
        if header is not None:
            headers["Authorization"] = header
        answer = requests.request(request.method, request.url, headers=headers, data=request.body, timeout=30)
        assert (answer.status_code, answer.json()["error"]) == (status, error), (
            f"{operation} with the header {header} answers {answer.status_code} {answer.text}"
        )
    guarded.add(operation)


guarded = set()


def takes_bearer(case):
    security = case.operation.definition.raw.get("security")
    return security is None or any("bearer" in one for one in security)


@atexit.register
def tell():
    """The test looks at how the operations answered, and at which of them were tried without a token."""
    with open(os.environ["INTEROP_ANSWERS"], "w", encoding="utf-8") as file:
        json.dump({"answers": answers, "guarded": sorted(guarded)}, file)

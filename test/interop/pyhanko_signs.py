"""
A signing application built on pyHanko's CSC signer, by its documentation and the CSC specification alone. One line of JSON
comes in on standard input: where the service is, who signs, with which credential and how. It signs documents, has
pyHanko validate them with the demo's root as the only trust anchor, and ends with 0 when everything is as it should be.
"""

import asyncio
import io
import json
import sys

import aiohttp
import pyotp
from pyhanko.keys import load_certs_from_pemder_data
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.misc import PdfReadError
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.pdf_utils.writer import PageObject, PdfFileWriter
from pyhanko.sign import PdfSignatureMetadata, fields, signers
from pyhanko.sign.general import SigningError
from pyhanko.sign.signers.csc_signer import (
    CSCAuthorizationInfo,
    CSCAuthorizationManager,
    CSCServiceSessionInfo,
    CSCSigner,
    PrefetchedSADAuthorizationManager,
    fetch_certs_in_csc_credential,
)
from pyhanko.sign.validation import async_validate_pdf_signature
from pyhanko_certvalidator import ValidationContext

DIGEST_OIDS = {
    "sha256": "2.16.840.1.101.3.4.2.1",
    "sha384": "2.16.840.1.101.3.4.2.2",
    "sha512": "2.16.840.1.101.3.4.2.3",
}


async def log_in(http, wish):
    url = f"{wish['url']}/csc/{wish['version']}/auth/login"
    auth = aiohttp.BasicAuth(wish["login"], wish["password"], encoding="utf-8")
    async with http.post(url, auth=auth, json={}, raise_for_status=True) as response:
        return (await response.json())["access_token"]


class OneTimeCode(CSCAuthorizationManager):
    """Takes a code from the signer's authenticator for whatever is to be signed, and binds the SAD to it."""

    def __init__(self, http, wish, session_info, credential_info):
        super().__init__(session_info, credential_info)
        self.http, self.wish, self.asked = http, wish, []

    async def authorize_signature(self, hash_b64s, pinned=True):
        self.asked.append(list(hash_b64s))
        code = pyotp.TOTP(self.wish["secret"], digits=8).now()
        hashes = hash_b64s if pinned else None
        if self.wish["version"] == "v1":
            request = self.format_csc_auth_request(num_signatures=len(hash_b64s), otp=code, hash_b64s=hashes)
        else:
            request = self.format_csc_auth_request(num_signatures=len(hash_b64s))
            request["hashes"] = hashes
            request["hashAlgorithmOID"] = DIGEST_OIDS[self.wish["digest"]]
            request["authData"] = [{"id": "OTP", "value": code}]
        url = self.csc_session_info.endpoint_url("credentials/authorize")
        async with self.http.post(url, headers=self.auth_headers, json=request) as response:
            body = await response.json()
            if response.status != 200:
                raise SigningError(f"credentials/authorize answered {response.status} {body}")
        return self.parse_csc_auth_response(body)


def a_document(text):
    """One page."""
    writer = PdfFileWriter(stream_xrefs=False)
    font = generic.DictionaryObject(
        {
            generic.pdf_name("/Type"): generic.pdf_name("/Font"),
            generic.pdf_name("/Subtype"): generic.pdf_name("/Type1"),
            generic.pdf_name("/BaseFont"): generic.pdf_name("/Helvetica"),
        }
    )
    resources = generic.DictionaryObject(
        {
            generic.pdf_name("/Font"): generic.DictionaryObject(
                {generic.pdf_name("/F1"): writer.add_object(font)}
            )
        }
    )
    content = generic.StreamObject(stream_data=f"BT /F1 12 Tf 20 150 Td ({text}) Tj ET".encode("ascii"))
    page = PageObject(
        contents=writer.add_object(content),
        media_box=(0, 0, 300, 200),
        resources=resources,
    )
    writer.insert_page(page)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


async def sign(document, signer, wish):
    metadata = PdfSignatureMetadata(
        field_name="Signature",
        md_algorithm=wish["digest"],
        subfilter=fields.SigSeedSubFilter.PADES,
    )
    signed = io.BytesIO()
    await signers.async_sign_pdf(
        IncrementalPdfFileWriter(io.BytesIO(document)), metadata, signer=signer, output=signed
    )
    return signed.getvalue()


async def judge(signed, root):
    """pyHanko's verdict, or None where it cannot even read the signature."""
    context = ValidationContext(trust_roots=[root], allow_fetching=False)
    try:
        (signature,) = PdfFileReader(io.BytesIO(signed)).embedded_signatures
        return await async_validate_pdf_signature(signature, context)
    except (PdfReadError, ValueError):
        return None


async def expect_good(signed, root, wish, mechanism):
    status = await judge(signed, root)
    assert status is not None and status.intact and status.valid and status.trusted and status.bottom_line, (
        status.pretty_print_details() if status else "unreadable"
    )
    assert status.md_algorithm == wish["digest"], status.md_algorithm
    assert status.pkcs7_signature_mechanism == mechanism, status.pkcs7_signature_mechanism
    # PAdES: the signer's certificate is among what is signed.
    (embedded,) = PdfFileReader(io.BytesIO(signed)).embedded_signatures
    assert any(
        attr["type"].native == "signing_certificate_v2" for attr in embedded.signer_info["signed_attrs"]
    )


async def expect_changes_are_found(signed, root):
    """One bit of the page, and one of the signature value."""
    at = signed.index(b"Tj ET")
    changed = bytearray(signed)
    changed[at - 3] ^= 1
    status = await judge(bytes(changed), root)
    assert status is not None and not status.intact and not status.bottom_line, "a changed page counts as signed"

    (embedded,) = PdfFileReader(io.BytesIO(signed)).embedded_signatures
    value = embedded.signer_info["signature"].native
    # The last digit of its hex: in DER of an ECDSA signature that is always part of a number.
    at = signed.lower().index(value.hex().encode("ascii")) + 2 * len(value) - 1
    changed = bytearray(signed)
    changed[at : at + 1] = b"%x" % (int(changed[at : at + 1], 16) ^ 1)
    status = await judge(bytes(changed), root)
    assert status is None or (not status.valid and not status.bottom_line), "a changed signature counts as valid"


async def main():
    wish = json.loads(sys.stdin.readline())
    (root,) = load_certs_from_pemder_data(wish["root"].encode("ascii"))
    async with aiohttp.ClientSession() as http:
        session_info = CSCServiceSessionInfo(
            service_url=wish["url"],
            credential_id=wish["credentialID"],
            oauth_token=await log_in(http, wish),
            api_ver=wish["version"],
        )
        credential = await fetch_certs_in_csc_credential(http, session_info)
        assert credential.hash_pinning_required == (wish["scal"] == "2")
        assert credential.chain, "the chain comes with the certificate"
        count = wish["documents"]
        assert credential.max_batch_size >= count

        code = OneTimeCode(http, wish, session_info, credential)
        manager = code
        if wish["prefetched"]:
            sad = await code.authorize_signature([""] * count, pinned=False)
            assert isinstance(sad, CSCAuthorizationInfo)
            manager = PrefetchedSADAuthorizationManager(session_info, credential, sad)
        signer = CSCSigner(http, manager, prefer_pss=wish["pss"], batch_size=count)
        documents = [a_document(f"Document {number}") for number in range(count)]
        signed = await asyncio.gather(*(sign(document, signer, wish) for document in documents))

        assert len(code.asked) == 1 and len(code.asked[0]) == count, "one code for all documents"
        for document in signed:
            await expect_good(document, root, wish, wish["mechanism"])
            await expect_changes_are_found(document, root)
        # What was agreed to is used up.
        if wish["prefetched"]:
            manager._used = False
            try:
                await sign(a_document("One more"), CSCSigner(http, manager, batch_size=1), wish)
            except SigningError:
                return
            raise AssertionError("a SAD signed more than was agreed to")


asyncio.run(main())

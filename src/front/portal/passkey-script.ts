import { hash } from 'node:crypto'

/**
 * The only script of our pages: without it everything works but passkeys. A form with `data-passkey` holds in that
 * attribute what the browser is to be asked, as JSON with base64url members, and in its field `response` goes the answer.
 * With its box `session` ticked it is another challenge.
 */
export const PASSKEY_SCRIPT = `const bytes = (text) => Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0));
const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
const keys = (ids) => ids.map((id) => ({ type: 'public-key', id: bytes(id) }));

async function create(ask) {
  const made = await navigator.credentials.create({ publicKey: {
    rp: { id: ask.rpId, name: ask.service }, user: { id: bytes(ask.userId), name: ask.login, displayName: ask.name },
    challenge: bytes(ask.challenge), excludeCredentials: keys(ask.exclude), attestation: 'none',
    pubKeyCredParams: [-7, -8, -257].map((alg) => ({ type: 'public-key', alg })),
    authenticatorSelection: { userVerification: 'required', residentKey: 'preferred' } } });
  return { ...named(made), response: { clientDataJSON: text(made.response.clientDataJSON),
    attestationObject: text(made.response.attestationObject) } };
}

async function get(ask) {
  const made = await navigator.credentials.get({ publicKey: {
    rpId: ask.rpId, challenge: bytes(ask.challenge), allowCredentials: keys(ask.allow), userVerification: 'required' } });
  return { ...named(made), response: { clientDataJSON: text(made.response.clientDataJSON),
    authenticatorData: text(made.response.authenticatorData), signature: text(made.response.signature) } };
}

const named = (made) => ({ id: made.id, rawId: text(made.rawId), type: made.type, clientExtensionResults: {} });

for (const form of document.querySelectorAll('form[data-passkey]')) {
  if (!window.PublicKeyCredential) continue;
  form.hidden = false;
  form.addEventListener('submit', async (event) => {
    const field = form.elements.response;
    if (field.value) return;
    event.preventDefault();
    const failed = form.querySelector('[data-failed]');
    failed.hidden = true;
    try {
      const ask = JSON.parse(form.dataset.passkey);
      if (form.elements.session?.checked) ask.challenge = ask.sessionChallenge;
      field.value = JSON.stringify(await (ask.userId ? create(ask) : get(ask)));
      form.requestSubmit();
    } catch {
      failed.hidden = false;
    }
  });
}
`

/** Changes with the script, so that a browser may keep it for good. */
export const PASSKEY_PATH = `/portal/passkey-${hash('sha256', PASSKEY_SCRIPT, 'hex').slice(0, 12)}.js`

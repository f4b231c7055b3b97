import type { EventName } from '../../../audit/event.js'
import type { Lang } from '../../portal/texts.js'

/** What each event is called for people. One that has no words does not compile. */
const EVENT_WORDS: { readonly [Name in EventName]: Readonly<Record<Lang, string>> } = {
  'audit.init': { en: 'The log was begun', pl: 'Rozpoczęto dziennik' },
  'audit.start': { en: 'A process of the service started', pl: 'Proces usługi rozpoczął pracę' },
  'audit.stop': { en: 'A process of the service ended', pl: 'Proces usługi zakończył pracę' },
  'audit.key': { en: 'A key that signs the log was named', pl: 'Wskazano klucz podpisujący dziennik' },
  'audit.heartbeat': { en: 'The keeper of the log is there', pl: 'Strażnik dziennika działa' },
  'audit.fork_detected': { en: 'Another past of the log was found', pl: 'Wykryto inną wersję przeszłości dziennika' },
  'audit.read': { en: 'The log was looked at', pl: 'Przeglądano dziennik' },
  'audit.export': { en: 'The log was exported', pl: 'Wyeksportowano dziennik' },
  'audit.erase': { en: 'Personal data were erased', pl: 'Usunięto dane osobowe' },
  'audit.anchored': { en: 'A time-stamp of the log was had', pl: 'Uzyskano znacznik czasu dziennika' },
  'clock.sync': { en: 'Clock set by a time server', pl: 'Zegar ustawiany przez serwer czasu' },
  'clock.step': { en: 'Clock moved', pl: 'Przestawiono zegar' },
  'clock.unsynced': { en: 'Clock set by nobody', pl: 'Zegar przez nikogo nie ustawiany' },
  'key.generated': { en: 'A key was made', pl: 'Utworzono klucz' },
  'key.linked_cert': { en: 'A certificate was put to a key', pl: 'Powiązano certyfikat z kluczem' },
  'credential.created': { en: 'A credential was made', pl: 'Utworzono poświadczenie' },
  'credential.suspended': { en: 'A credential was suspended', pl: 'Zawieszono poświadczenie' },
  'credential.resumed': { en: 'A credential was resumed', pl: 'Wznowiono poświadczenie' },
  'credential.revoked': { en: 'A credential was revoked', pl: 'Unieważniono poświadczenie' },
  'credential.request_signed': { en: 'A certificate request was signed', pl: 'Podpisano wniosek o certyfikat' },
  'credential.listed': { en: 'Credentials were listed', pl: 'Wyświetlono listę poświadczeń' },
  'credential.read': { en: 'A credential was looked at', pl: 'Odczytano poświadczenie' },
  'credential.abandoned': { en: 'The making of a credential was given up', pl: 'Porzucono tworzenie poświadczenia' },
  'credential.policy_changed': {
    en: 'The policy of a credential was changed',
    pl: 'Zmieniono zasady poświadczenia',
  },
  'signer.enrolled': { en: 'A signer was entered', pl: 'Wprowadzono podpisującego' },
  'signer.suspended': { en: 'A signer was suspended', pl: 'Zawieszono podpisującego' },
  'signer.resumed': { en: 'A signer was resumed', pl: 'Wznowiono podpisującego' },
  'signer.unlocked': { en: 'A signer was unlocked', pl: 'Odblokowano podpisującego' },
  'signer.password_set': { en: 'A password was set', pl: 'Ustawiono hasło' },
  'signer.invited': { en: 'A signer was sent a link', pl: 'Podpisujący otrzymał odnośnik' },
  'signer.activated': { en: 'A signer activated the account', pl: 'Podpisujący aktywował konto' },
  'signer.contact_changed': { en: 'Phone or e-mail were changed', pl: 'Zmieniono telefon lub e-mail' },
  'signer.recovered': { en: 'A recovery code was used', pl: 'Użyto kodu odzyskiwania' },
  'signer.stopped': { en: 'A signer stopped everything', pl: 'Podpisujący zatrzymał wszystko' },
  'signer.notified': { en: 'A signer was sent a notice', pl: 'Powiadomiono podpisującego' },
  'factor.enrolled': { en: 'An authenticator was enrolled', pl: 'Zarejestrowano sposób potwierdzania' },
  'factor.failed': { en: 'A code or passkey was wrong', pl: 'Błędny kod lub klucz dostępu' },
  'factor.locked': { en: 'Too many wrong codes', pl: 'Zbyt wiele błędnych kodów' },
  'factor.revoked': { en: 'An authenticator was removed', pl: 'Usunięto sposób potwierdzania' },
  'factor.ended': { en: 'Authenticators were ended', pl: 'Wyłączono sposoby potwierdzania' },
  'factor.challenge_sent': { en: 'A code was sent', pl: 'Wysłano kod' },
  'factor.verified': { en: 'A code or passkey was verified', pl: 'Sprawdzono kod lub klucz dostępu' },
  'factor.drifted': {
    en: 'The clock of an authenticator is off',
    pl: 'Zegar aplikacji z kodami się spieszy lub spóźnia',
  },
  'auth.login': { en: 'Signed in', pl: 'Zalogowano' },
  'auth.login_failed': { en: 'Signing in failed', pl: 'Nieudane logowanie' },
  'auth.token_refreshed': { en: 'A session was opened anew', pl: 'Odnowiono sesję' },
  'auth.token_revoked': { en: 'A token was revoked', pl: 'Unieważniono token' },
  'auth.session_ended': { en: 'A session was ended', pl: 'Zakończono sesję' },
  'auth.session_extended': { en: 'A session was made longer', pl: 'Przedłużono sesję' },
  'auth.token_issued': { en: 'A token was issued', pl: 'Wydano token' },
  'auth.device_known': { en: 'A browser was remembered', pl: 'Zapamiętano przeglądarkę' },
  'auth.session_read': { en: 'A session was looked at', pl: 'Odczytano sesję' },
  'sad.issued': { en: 'Authorization to sign given', pl: 'Udzielono zgody na podpis' },
  'sad.denied': { en: 'Authorization to sign refused', pl: 'Odmówiono zgody na podpis' },
  'sad.extended': { en: 'Authorization extended', pl: 'Rozszerzono zgodę na podpis' },
  'sad.revoked': { en: 'Authorization revoked', pl: 'Wycofano zgodę na podpis' },
  'approval.requested': { en: 'The signer was asked to agree', pl: 'Poproszono podpisującego o zgodę' },
  'approval.granted': { en: 'The signer agreed', pl: 'Podpisujący się zgodził' },
  'approval.denied': { en: 'The signer did not agree', pl: 'Podpisujący się nie zgodził' },
  'sign.intent': { en: 'Signing begun', pl: 'Rozpoczęto podpisywanie' },
  'sign.outcome': { en: 'Signing ended', pl: 'Zakończono podpisywanie' },
  'sign.denied': { en: 'Signing refused', pl: 'Odmówiono podpisania' },
  'sign.abandoned': { en: 'Signing left without an outcome', pl: 'Podpisywanie pozostało bez wyniku' },
  'sign.withheld': { en: 'Signatures not handed out', pl: 'Podpisów nie wydano' },
  'sign.repeated': { en: 'The same request was answered again', pl: 'Powtórzono odpowiedź na to samo żądanie' },
  'receipt.given': { en: 'A receipt was given', pl: 'Wydano pokwitowanie' },
  'timestamp.issued': { en: 'A time-stamp was given', pl: 'Wydano znacznik czasu' },
  'access.refused': { en: 'A request was refused', pl: 'Odrzucono żądanie' },
  'client.created': { en: 'A client was registered', pl: 'Zarejestrowano aplikację' },
  'client.disabled': { en: 'A client was disabled', pl: 'Wyłączono aplikację' },
  'client.rotated': { en: 'A client got another secret', pl: 'Aplikacja otrzymała nowy sekret' },
  'client.changed': { en: 'A client was changed', pl: 'Zmieniono aplikację' },
  'operator.created': { en: 'An operator was made', pl: 'Dodano operatora' },
  'operator.disabled': { en: "An operator's rights were ended", pl: 'Odebrano prawa operatora' },
  'operator.refused': { en: 'An operator was refused', pl: 'Odmówiono operatorowi' },
  'operator.vouched': { en: 'A second operator vouched', pl: 'Poświadczył drugi operator' },
}

export function eventInWords(lang: Lang, event: string): string {
  return Object.hasOwn(EVENT_WORDS, event) ? EVENT_WORDS[event as EventName][lang] : event
}

/** Events by family, such as `sign`, in the order of the catalogue. */
export function eventFamilies(): ReadonlyMap<string, readonly string[]> {
  const families = new Map<string, string[]>()
  for (const event of Object.keys(EVENT_WORDS)) {
    const [family = ''] = event.split('.')
    families.set(family, [...(families.get(family) ?? []), event])
  }
  return families
}

/** The words of our pages, in the languages they speak. A text that is missing in one of them does not compile. */

const en = {
  language: 'English',
  skip: 'Skip to content',
  account: 'Account',
  signOut: 'Sign out',
  demo: 'This is a demo. What it signs proves nothing.',
  signIn: 'Sign in',
  signInLead: 'With your login and password.',
  login: 'Login',
  password: 'Password',
  signInFailed: 'Login and password do not fit, or there were too many attempts. Wait a moment and try again.',
  sessionOver: 'Your session has ended. Please sign in again.',
  lostPhone: 'I have lost my authenticator',
  activateTitle: (name: string) => `Welcome, ${name}`,
  activateLead: 'Two steps and your signing account is ready. This link works once.',
  replaceLead: 'This link gives you a new authenticator. Your other authenticators and all logins end when you use it.',
  addLead: 'Add one more authenticator. The ones you have stay as they are.',
  choosePassword: 'Choose a password',
  resetLead:
    'Choose another password, and confirm it with a code from your authenticator. All logins end. This link works once.',
  done: 'Done',
  newPassword: 'New password',
  repeatPassword: 'The same once more',
  passwordHint: 'At least 12 characters. A sentence is easier to remember than a puzzle.',
  passwordWeak: 'Please choose a longer password, without your login in it.',
  passwordsDiffer: 'The two passwords are not the same.',
  enrol: 'Set up your authenticator',
  enrolText: 'Scan this picture with an authenticator app on your phone. Any app for one-time codes will do.',
  qrAlt: 'QR code for your authenticator app',
  enrolByHand: 'I cannot scan it',
  enrolByHandText:
    'Type this key into the app (8 digits, every 30 seconds, SHA-1), or open the link on the phone itself:',
  openApp: 'Open in an app on this device',
  code: 'Code from the app',
  codeHint: '8 digits, new every 30 seconds.',
  codeWrong: 'This code is not right. Codes are good for about a minute, and only once: wait for the next one.',
  codeLocked: 'Too many wrong codes. Wait a moment and try again.',
  activate: 'Activate',
  activated: 'Your account is ready',
  recoveryTitle: 'Your recovery codes',
  recoveryText:
    'Print these or write them down, and keep them away from your phone. With one of them and your password you set up a new authenticator if you lose this one. Each works once, and they are not shown again.',
  toAccount: 'To my account',
  linkUnknown: 'This link does not work',
  linkUnknownText: 'It was used already, has been taken back, or is too old. Ask whoever gave it to you for a new one.',
  linkEarly: 'This link does not work yet',
  linkEarlyText: (when: string) =>
    `It replaces your authenticators, so it waits until ${when}. If you did not ask for this, sign in and stop it.`,
  recoverTitle: 'A new authenticator',
  recoverLead: 'With your password and one of your recovery codes. All your other authenticators end.',
  recoveryCode: 'Recovery code',
  recoveryCodeHint: 'Like abcd-efgh-ijkm-npqr, from the list you kept.',
  recoveryWrong: 'This recovery code is not right, or was used already.',
  goOn: 'Go on',
  accountLead: (login: string) => `Signed in as ${login}`,
  authenticators: 'Authenticators',
  kind: { totp: 'Authenticator app', sms: 'Text message', email: 'E-mail', passkey: 'Passkey' },
  since: (when: string) => `since ${when}`,
  remove: 'Remove',
  addAuthenticator: 'Add an authenticator app',
  addPasskey: 'Add a passkey',
  passkeyLead:
    'A passkey agrees with your fingerprint, your face or the PIN of your device instead of a code, and only on this site.',
  passkeyName: 'What to call it',
  passkeyNameHint: 'So that you know it again, such as “my phone”.',
  passkeyFailed: 'The passkey was not made. Please try again.',
  passkeyUsed: 'That did not work. Please try again, or use a code.',
  passkeyImpossible: 'This service has no name that passkeys can belong to.',
  passkeyAdded: 'The passkey is added.',
  needsScript: 'This needs JavaScript, which your browser does not run here. Everything else works without.',
  removeAuthenticator: 'Remove an authenticator',
  lastStays: 'The last authenticator app cannot be removed.',
  removed: 'The authenticator is removed. All other logins have ended.',
  recoveryLeft: (n: number) => (n === 1 ? '1 recovery code is left.' : `${n} recovery codes are left.`),
  renewRecovery: 'Make new recovery codes',
  renewRecoveryHint: 'The old ones are worth nothing then.',
  changePassword: 'Change the password',
  passwordChanged: 'Your password is changed. All other logins have ended.',
  sessions: 'Open sessions',
  noSessions: 'Nobody is signed in for you.',
  thisPage: 'this page',
  until: (when: string) => `until ${when}`,
  filesLeft: (n: number) => (n === 1 ? '1 signature left' : `${n} signatures left`),
  remembered: 'remembered',
  replacement: 'A new authenticator was asked for',
  replacementText: (when: string) =>
    `A link that replaces your authenticators works from ${when}. If you did not ask for it, stop it now.`,
  stopReplacement: 'Stop it',
  replacementStopped: 'The link is stopped.',
  confirm: 'Confirm',
  cancel: 'Cancel',
  errorTitle: 'That did not work',
  errorForm: 'This page was open too long, or came from somewhere else. Please try again.',
  errorBusy: 'The service is busy. Please try again in a moment.',
  errorMissing: 'There is nothing here.',
  errorOther: 'Something went wrong on our side. Please try again.',
  back: 'Back',
}

export type Texts = typeof en

const pl: Texts = {
  language: 'Polski',
  skip: 'Przejdź do treści',
  account: 'Konto',
  signOut: 'Wyloguj',
  demo: 'To jest wersja demonstracyjna. Jej podpisy niczego nie dowodzą.',
  signIn: 'Zaloguj się',
  signInLead: 'Podaj login i hasło.',
  login: 'Login',
  password: 'Hasło',
  signInFailed: 'Login i hasło nie pasują albo prób było zbyt wiele. Odczekaj chwilę i spróbuj ponownie.',
  sessionOver: 'Twoja sesja się skończyła. Zaloguj się ponownie.',
  lostPhone: 'Nie mam już aplikacji z kodami',
  activateTitle: (name) => `Witaj, ${name}`,
  activateLead: 'Dwa kroki i Twoje konto do podpisywania jest gotowe. Ten odnośnik działa tylko raz.',
  replaceLead:
    'Ten odnośnik daje Ci nową aplikację z kodami. Gdy go użyjesz, pozostałe aplikacje i wszystkie sesje przestaną działać.',
  addLead: 'Dodaj kolejną aplikację z kodami. Dotychczasowe zostają bez zmian.',
  choosePassword: 'Ustaw hasło',
  resetLead:
    'Ustaw nowe hasło i potwierdź je kodem z aplikacji. Wszystkie sesje zostaną zakończone. Ten odnośnik działa tylko raz.',
  done: 'Gotowe',
  newPassword: 'Nowe hasło',
  repeatPassword: 'To samo jeszcze raz',
  passwordHint: 'Co najmniej 12 znaków. Zdanie łatwiej zapamiętać niż łamigłówkę.',
  passwordWeak: 'Wybierz dłuższe hasło, bez loginu w środku.',
  passwordsDiffer: 'Hasła nie są jednakowe.',
  enrol: 'Ustaw aplikację z kodami',
  enrolText: 'Zeskanuj ten obrazek aplikacją z kodami w telefonie. Wystarczy dowolna aplikacja do kodów jednorazowych.',
  qrAlt: 'Kod QR dla aplikacji z kodami',
  enrolByHand: 'Nie mogę zeskanować',
  enrolByHandText:
    'Przepisz ten klucz do aplikacji (8 cyfr, co 30 sekund, SHA-1) albo otwórz odnośnik na samym telefonie:',
  openApp: 'Otwórz w aplikacji na tym urządzeniu',
  code: 'Kod z aplikacji',
  codeHint: '8 cyfr, nowy co 30 sekund.',
  codeWrong: 'Ten kod nie jest prawidłowy. Kod jest ważny około minuty i tylko raz: poczekaj na następny.',
  codeLocked: 'Zbyt wiele błędnych kodów. Odczekaj chwilę i spróbuj ponownie.',
  activate: 'Aktywuj',
  activated: 'Twoje konto jest gotowe',
  recoveryTitle: 'Twoje kody odzyskiwania',
  recoveryText:
    'Wydrukuj je lub zapisz i trzymaj z dala od telefonu. Jeden z nich i hasło wystarczą, aby ustawić nową aplikację, gdy stracisz obecną. Każdy działa raz i nie zobaczysz ich ponownie.',
  toAccount: 'Do mojego konta',
  linkUnknown: 'Ten odnośnik nie działa',
  linkUnknownText: 'Został już użyty, wycofany albo jest zbyt stary. Poproś o nowy osobę, od której go masz.',
  linkEarly: 'Ten odnośnik jeszcze nie działa',
  linkEarlyText: (when) =>
    `Zastępuje Twoje aplikacje z kodami, dlatego czeka do ${when}. Jeśli o to nie prosisz, zaloguj się i zatrzymaj to.`,
  recoverTitle: 'Nowa aplikacja z kodami',
  recoverLead: 'Podaj hasło i jeden z kodów odzyskiwania. Wszystkie inne aplikacje z kodami przestaną działać.',
  recoveryCode: 'Kod odzyskiwania',
  recoveryCodeHint: 'Jak abcd-efgh-ijkm-npqr, z zachowanej listy.',
  recoveryWrong: 'Ten kod odzyskiwania nie jest prawidłowy albo został już użyty.',
  goOn: 'Dalej',
  accountLead: (login) => `Zalogowano jako ${login}`,
  authenticators: 'Sposoby potwierdzania',
  kind: { totp: 'Aplikacja z kodami', sms: 'Wiadomość SMS', email: 'E-mail', passkey: 'Klucz dostępu' },
  since: (when) => `od ${when}`,
  remove: 'Usuń',
  addAuthenticator: 'Dodaj aplikację z kodami',
  addPasskey: 'Dodaj klucz dostępu',
  passkeyLead:
    'Klucz dostępu potwierdza odciskiem palca, twarzą albo kodem PIN urządzenia zamiast kodem z aplikacji i tylko w tej witrynie.',
  passkeyName: 'Jak go nazwać',
  passkeyNameHint: 'Aby go później rozpoznać, na przykład „mój telefon”.',
  passkeyFailed: 'Klucz dostępu nie powstał. Spróbuj ponownie.',
  passkeyUsed: 'Nie udało się. Spróbuj ponownie albo użyj kodu.',
  passkeyImpossible: 'Ta usługa nie ma nazwy, do której klucz dostępu mógłby należeć.',
  passkeyAdded: 'Klucz dostępu dodany.',
  needsScript:
    'Do tego potrzebny jest JavaScript, a ta przeglądarka go tutaj nie wykonuje. Wszystko inne działa bez niego.',
  removeAuthenticator: 'Usuń sposób potwierdzania',
  lastStays: 'Ostatniej aplikacji z kodami nie można usunąć.',
  removed: 'Usunięto. Wszystkie inne sesje zostały zakończone.',
  recoveryLeft: (n) => `Pozostałe kody odzyskiwania: ${n}.`,
  renewRecovery: 'Utwórz nowe kody odzyskiwania',
  renewRecoveryHint: 'Stare przestaną działać.',
  changePassword: 'Zmień hasło',
  passwordChanged: 'Hasło zmienione. Wszystkie inne sesje zostały zakończone.',
  sessions: 'Otwarte sesje',
  noSessions: 'Nikt nie jest zalogowany w Twoim imieniu.',
  thisPage: 'ta strona',
  until: (when) => `do ${when}`,
  filesLeft: (n) => `pozostałe podpisy: ${n}`,
  remembered: 'zapamiętana',
  replacement: 'Poproszono o nową aplikację z kodami',
  replacementText: (when) =>
    `Odnośnik, który zastępuje Twoje aplikacje z kodami, działa od ${when}. Jeśli o niego nie prosisz, zatrzymaj go teraz.`,
  stopReplacement: 'Zatrzymaj',
  replacementStopped: 'Odnośnik zatrzymany.',
  confirm: 'Potwierdź',
  cancel: 'Anuluj',
  errorTitle: 'Nie udało się',
  errorForm: 'Ta strona była otwarta zbyt długo albo przyszła z innego miejsca. Spróbuj ponownie.',
  errorBusy: 'Usługa jest zajęta. Spróbuj ponownie za chwilę.',
  errorMissing: 'Tutaj nic nie ma.',
  errorOther: 'Coś poszło nie tak po naszej stronie. Spróbuj ponownie.',
  back: 'Wstecz',
}

export const TEXTS = { en, pl } as const
export type Lang = keyof typeof TEXTS
export const LANGS = Object.keys(TEXTS) as Lang[]

/** The language that fits best: what was chosen, else what the browser asks for (RFC 9110 §12.5.4), else English. */
export function chooseLang(chosen: string | undefined, accepted: string | undefined): Lang {
  const wanted = (accepted ?? '')
    .split(',')
    .map((part) => {
      const [tag = '', ...parameters] = part.trim().split(';')
      const q = Number(parameters.find((parameter) => parameter.trim().startsWith('q='))?.split('=')[1] ?? 1)
      return { tag: tag.toLowerCase().split('-')[0], q }
    })
    .sort((one, other) => other.q - one.q)
    .map(({ tag }) => tag)
  return [chosen, ...wanted].map((tag) => LANGS.find((lang) => lang === tag)).find((lang) => lang !== undefined) ?? 'en'
}

/** An instant for people, in UTC. */
export function instant(lang: Lang, iso: string): string {
  const format = new Intl.DateTimeFormat(lang, { dateStyle: 'medium', timeStyle: 'short', timeZone: 'UTC' })
  return `${format.format(new Date(iso))} UTC`
}

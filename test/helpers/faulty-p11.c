/*
 * A PKCS#11 module that hands every call on to another one, and breaks the calls that a control file names: between the
 * service and SoftHSM, it is a device on a bad day. Compiled and driven by faulty-module.ts.
 *
 *   FAULTY_P11_MODULE   path of the real module
 *   FAULTY_P11_CONTROL  path of the control file, read anew at every call that can be broken; without it nothing is
 *   FAULTY_P11_CALLS    path of a file that gets one byte for each signature asked for: `s` with a session object (the key
 *                       of a signer), `t` with a token object (a key of the service)
 *
 * A line of the control file is `<function> <what> [<argument>] [<times>]`, where * stands for every function listed in
 * REPLACED below. The first line that fits a call and has times left is taken; the times are counted in the file itself,
 * so that they hold for all processes together.
 *
 *   pass         nothing: the first calls of several are to succeed
 *   fail <CKR>   the real module is not asked
 *   slow <ms>    the real module is asked later
 *   hang         never returns, as long as the process that started this one is there
 *   crash        ends the process, as a fault in the module's memory would
 *   logout       the device forgets the login before it is asked
 *   forget       the device forgets all sessions, with the login and the session objects, before it is asked
 *   wrong        C_Sign only: one bit of the signature is another one
 *   empty        C_Sign only: a signature of no bytes
 *
 * What it cannot read ends the process with a message: a test must not pass because of a typing error.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

typedef unsigned long CK_ULONG;
typedef CK_ULONG CK_RV;

/* CK_FUNCTION_LIST of PKCS #11 v2.40, whose 68 functions have a fixed order. */
struct function_list {
  unsigned char version[2];
  void *functions[68];
};

enum {
  AT_C_GetFunctionList = 3,
  AT_C_OpenSession = 12,
  AT_C_CloseAllSessions = 14,
  AT_C_GetSessionInfo = 15,
  AT_C_Login = 18,
  AT_C_Logout = 19,
  AT_C_GetAttributeValue = 24,
  AT_C_EncryptInit = 29,
  AT_C_Encrypt = 30,
  AT_C_DecryptInit = 33,
  AT_C_Decrypt = 34,
  AT_C_SignInit = 42,
  AT_C_Sign = 43,
  AT_C_GenerateKeyPair = 59,
  AT_C_WrapKey = 60,
  AT_C_UnwrapKey = 61,
  AT_C_GenerateRandom = 64,
};

static const struct function_list *real;
static struct function_list list;

#define REAL(NAME, PARAMETERS) ((CK_RV(*) PARAMETERS)real->functions[AT_##NAME])

static void require(int holds, const char *what) {
  if (holds) return;
  fprintf(stderr, "faulty-p11: %s\n", what);
  _exit(70);
}

static const char *setting(const char *name) {
  const char *value = getenv(name);
  require(value != NULL, name);
  return value;
}

struct order {
  char what[16];
  CK_ULONG argument;
};

/* Takes one of the times off the number at `at` in the control file, which keeps its width. 0 when none was left. */
static int take_time(int file, size_t at, const char *number) {
  char less[16];
  long left = strtol(number, NULL, 10);
  if (left <= 0) return 0;
  int length = snprintf(less, sizeof less, "%0*ld", (int)strlen(number), left - 1);
  require(pwrite(file, less, length, at) == length, "the control file cannot be written");
  return 1;
}

/* What the control file says of this call. */
static struct order order_for(const char *function) {
  struct order order = {"pass", 0};
  int file = open(setting("FAULTY_P11_CONTROL"), O_RDWR | O_CLOEXEC);
  if (file < 0) return order;
  flock(file, LOCK_EX);
  char text[4096];
  ssize_t length = read(file, text, sizeof text - 1);
  require(length >= 0, "the control file cannot be read");
  text[length] = '\0';
  char *more, *rest;
  for (char *line = strtok_r(text, "\n", &more); line != NULL; line = strtok_r(NULL, "\n", &more)) {
    char *name = strtok_r(line, " ", &rest);
    char *what = strtok_r(NULL, " ", &rest);
    require(what != NULL, "a line of the control file has no second word");
    if (strcmp(name, "*") != 0 && strcmp(name, function) != 0) continue;
    int has_argument = strcmp(what, "fail") == 0 || strcmp(what, "slow") == 0;
    char *argument = has_argument ? strtok_r(NULL, " ", &rest) : "0";
    require(argument != NULL, "a line of the control file lacks its argument");
    char *times = strtok_r(NULL, " ", &rest);
    if (times != NULL && !take_time(file, times - text, times)) continue;
    snprintf(order.what, sizeof order.what, "%s", what);
    order.argument = strtoul(argument, NULL, 0);
    break;
  }
  close(file);
  return order;
}

static void forget_sessions(CK_ULONG session) {
  struct { CK_ULONG slot, state, flags, error; } info;
  if (REAL(C_GetSessionInfo, (CK_ULONG, void *))(session, &info) != 0) return;
  REAL(C_CloseAllSessions, (CK_ULONG))(info.slot);
}

/* Nobody would end a hung process whose supervisor was killed. */
static void hang(void) {
  for (pid_t parent = getppid(); getppid() == parent;) usleep(100000);
  _exit(70);
}

static void crash(void) {
  /* No core file: it would hold keys, and lie in somebody's folder. */
  setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
  abort();
}

/* What comes before the real call. A result that is not 0 is the result of the call. */
static CK_RV before(const struct order *order, CK_ULONG session) {
  const char *what = order->what;
  if (strcmp(what, "pass") == 0) return 0;
  if (strcmp(what, "fail") == 0) return order->argument;
  if (strcmp(what, "crash") == 0) crash();
  if (strcmp(what, "hang") == 0) hang();
  if (strcmp(what, "slow") == 0)
    nanosleep(&(struct timespec){order->argument / 1000, order->argument % 1000 * 1000000}, NULL);
  else if (strcmp(what, "logout") == 0)
    REAL(C_Logout, (CK_ULONG))(session);
  else if (strcmp(what, "forget") == 0)
    forget_sessions(session);
  else
    require(0, "a line of the control file says what this function cannot do");
  return 0;
}

#define BREAKABLE(NAME, PARAMETERS, ...)                             \
  static CK_RV NAME PARAMETERS {                                     \
    struct order order = order_for(#NAME);                           \
    CK_RV result = before(&order, session);                          \
    return result != 0 ? result : REAL(NAME, PARAMETERS)(__VA_ARGS__); \
  }

BREAKABLE(C_Login, (CK_ULONG session, CK_ULONG user, void *pin, CK_ULONG length), session, user, pin, length)
BREAKABLE(C_EncryptInit, (CK_ULONG session, void *mechanism, CK_ULONG key), session, mechanism, key)
BREAKABLE(C_DecryptInit, (CK_ULONG session, void *mechanism, CK_ULONG key), session, mechanism, key)
BREAKABLE(C_Encrypt, (CK_ULONG session, void *data, CK_ULONG length, void *into, CK_ULONG *size), session, data, length,
          into, size)
BREAKABLE(C_Decrypt, (CK_ULONG session, void *data, CK_ULONG length, void *into, CK_ULONG *size), session, data, length,
          into, size)
BREAKABLE(C_GenerateKeyPair,
          (CK_ULONG session, void *mechanism, void *public_template, CK_ULONG public_count, void *private_template,
           CK_ULONG private_count, CK_ULONG *public_key, CK_ULONG *private_key),
          session, mechanism, public_template, public_count, private_template, private_count, public_key, private_key)
BREAKABLE(C_WrapKey,
          (CK_ULONG session, void *mechanism, CK_ULONG wrapping_key, CK_ULONG key, void *into, CK_ULONG *size), session,
          mechanism, wrapping_key, key, into, size)
BREAKABLE(C_UnwrapKey,
          (CK_ULONG session, void *mechanism, CK_ULONG unwrapping_key, void *wrapped, CK_ULONG length, void *template,
           CK_ULONG count, CK_ULONG *key),
          session, mechanism, unwrapping_key, wrapped, length, template, count, key)
BREAKABLE(C_GenerateRandom, (CK_ULONG session, void *into, CK_ULONG length), session, into, length)

/* Has no session yet that could be forgotten. */
static CK_RV C_OpenSession(CK_ULONG slot, CK_ULONG flags, void *application, void *notify, CK_ULONG *session) {
  struct order order = order_for("C_OpenSession");
  CK_RV result = before(&order, 0);
  if (result != 0) return result;
  return REAL(C_OpenSession, (CK_ULONG, CK_ULONG, void *, void *, CK_ULONG *))(slot, flags, application, notify, session);
}

/* Whether the operation under way has a token object. The service signs on one thread and one session. */
static unsigned char with_token_object;

static CK_RV C_SignInit(CK_ULONG session, void *mechanism, CK_ULONG key) {
  struct order order = order_for("C_SignInit");
  CK_RV result = before(&order, session);
  if (result != 0) return result;
  struct { CK_ULONG type; void *value; CK_ULONG length; } is_token = {1 /* CKA_TOKEN */, &with_token_object, 1};
  with_token_object = 0;
  REAL(C_GetAttributeValue, (CK_ULONG, CK_ULONG, void *, CK_ULONG))(session, key, &is_token, 1);
  return REAL(C_SignInit, (CK_ULONG, void *, CK_ULONG))(session, mechanism, key);
}

static void count_signature(void) {
  int file = open(setting("FAULTY_P11_CALLS"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  require(file >= 0 && write(file, with_token_object ? "t" : "s", 1) == 1, "calls cannot be counted");
  close(file);
}

static CK_RV C_Sign(CK_ULONG session, unsigned char *data, CK_ULONG length, unsigned char *signature, CK_ULONG *size) {
  count_signature();
  struct order order = order_for("C_Sign");
  int is_wrong = strcmp(order.what, "wrong") == 0;
  int is_empty = strcmp(order.what, "empty") == 0;
  CK_RV result = is_wrong || is_empty ? 0 : before(&order, session);
  if (result != 0) return result;
  result = REAL(C_Sign, (CK_ULONG, void *, CK_ULONG, void *, CK_ULONG *))(session, data, length, signature, size);
  if (result == 0 && is_wrong) signature[*size - 1] ^= 1;
  if (result == 0 && is_empty) *size = 0;
  return result;
}

#define REPLACED(X)                                                                                               \
  X(C_OpenSession) X(C_Login) X(C_EncryptInit) X(C_Encrypt) X(C_DecryptInit) X(C_Decrypt) X(C_SignInit) X(C_Sign) \
  X(C_GenerateKeyPair) X(C_WrapKey) X(C_UnwrapKey) X(C_GenerateRandom)
#define REPLACE(NAME) list.functions[AT_##NAME] = (void *)NAME;

CK_RV C_GetFunctionList(struct function_list **into) {
  if (real == NULL) {
    void *module = dlopen(setting("FAULTY_P11_MODULE"), RTLD_NOW | RTLD_LOCAL);
    require(module != NULL, "FAULTY_P11_MODULE cannot be loaded");
    CK_RV (*get)(const struct function_list **) = (CK_RV(*)(const struct function_list **))dlsym(module, "C_GetFunctionList");
    require(get != NULL && get(&real) == 0, "FAULTY_P11_MODULE is no PKCS#11 module");
    list = *real;
    list.functions[AT_C_GetFunctionList] = (void *)C_GetFunctionList;
    REPLACED(REPLACE)
  }
  *into = &list;
  return 0;
}

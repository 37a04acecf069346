/* For builds with LeakSanitizer only: libfabric 1.17's own leaks, which are not ours to fix. net
 * loses one fi_info per endpoint and per accepted connection, tcp a handle of a connection that was
 * being made when its endpoint closed (all below a kilobyte each). libfabric has no debug symbols
 * in Debian, so the module is all that can be named. */

const char *__lsan_default_suppressions(void);

__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void)
{
    return "leak:libfabric.so\n";
}

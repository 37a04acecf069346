/* Which call is served by which function, and what calls are called. */
#include <stddef.h>
#include <sys/syscall.h>

#include "cell/system_call.h"

/* clang-format off */
/* The call, its function, bits of the arguments that are pointers, argument + 1 that is a buffer. */
#define ON(number, function, pointers, span)                                                       \
    [SYS_##number] = {weft__system_on_##function, pointers, span}
#define THROUGH(number, pointers, span)                                                            \
    [SYS_##number] = {weft__system_go_through, pointers, span}

const struct weft__system_entry weft__system_entries[512] = {
    /* memory */
    ON(brk, memory, 0, 0), ON(munmap, memory, 0, 0), ON(mprotect, memory, 0, 0),
    ON(mremap, memory, 0, 0), ON(madvise, memory, 0, 0), ON(mmap, mmap, 0, 0),
    ON(mlock, nothing, 0, 0), ON(munlock, nothing, 0, 0), ON(msync, nothing, 0, 0),
    /* the process */
    ON(arch_prctl, thread, 0, 0), ON(set_tid_address, thread, 0, 0), ON(gettid, thread, 0, 0),
    ON(getpid, thread, 0, 0), ON(getppid, thread, 0, 0), ON(getpgrp, thread, 0, 0),
    ON(getsid, thread, 0, 0), ON(set_robust_list, thread, 0, 0), ON(rseq, thread, 0, 0),
    ON(exit, exit, 0, 0), ON(exit_group, exit, 0, 0), ON(sched_setaffinity, nothing, 0, 0),
    ON(sched_getaffinity, affinity, 0, 0), ON(prlimit64, limits, 8, 0),
    ON(clone, threads_asked, 0, 0), ON(clone3, threads_asked, 0, 0),
    ON(fork, threads_asked, 0, 0), ON(vfork, threads_asked, 0, 0),
    ON(execve, threads_asked, 0, 0), ON(execveat, threads_asked, 0, 0), THROUGH(uname, 1, 0),
    THROUGH(sysinfo, 1, 0), THROUGH(getrandom, 1, 1), THROUGH(getuid, 0, 0),
    THROUGH(geteuid, 0, 0), THROUGH(getgid, 0, 0), THROUGH(getegid, 0, 0),
    THROUGH(getgroups, 2, 0), THROUGH(getrusage, 2, 0), ON(getrlimit, limits, 2, 0),
    THROUGH(times, 1, 0), ON(getcpu, getcpu, 0, 0), THROUGH(getpriority, 0, 0),
    THROUGH(capget, 3, 0),
    /* signals and time */
    ON(rt_sigaction, signal_action, 0, 0), ON(rt_sigprocmask, signal_mask, 0, 0),
    ON(sigaltstack, signal_stack, 0, 0), ON(rt_sigreturn, signal_return, 0, 0),
    ON(rt_sigpending, signal_pending, 0, 0), ON(rt_sigsuspend, signal_suspend, 0, 0),
    ON(rt_sigtimedwait, signal_wait, 0, 0), ON(rt_sigqueueinfo, kill, 0, 0),
    ON(pause, pause, 0, 0), ON(kill, kill, 0, 0), ON(tgkill, kill, 0, 0), ON(alarm, alarm, 0, 0),
    ON(setitimer, timer, 0, 0), ON(getitimer, timer_get, 0, 0), THROUGH(time, 1, 0),
    THROUGH(gettimeofday, 3, 0), ON(clock_gettime, clock, 0, 0), THROUGH(clock_getres, 2, 0),
    ON(nanosleep, sleep, 0, 0), ON(clock_nanosleep, sleep, 0, 0), ON(sched_yield, yield, 0, 0),
    ON(futex, futex, 0, 0),
    /* descriptors */
    ON(open, open, 0, 0), ON(openat, open, 0, 0), ON(creat, open, 0, 0), ON(close, close, 0, 0),
    ON(close_range, close_range, 0, 0), ON(dup, dup, 0, 0), ON(dup2, dup_to, 0, 0),
    ON(dup3, dup_to, 0, 0), ON(fcntl, fcntl, 0, 0), ON(flock, flock, 0, 0),
    ON(ioctl, ioctl, 0, 0), ON(read, file, 2, 2), ON(pread64, file, 2, 2), ON(write, file, 2, 2),
    ON(pwrite64, file, 2, 2), ON(readv, vector, 0, 0), ON(preadv, vector, 0, 0),
    ON(preadv2, vector, 0, 0), ON(writev, vector, 0, 0), ON(pwritev, vector, 0, 0),
    ON(pwritev2, vector, 0, 0), ON(lseek, file, 0, 0), ON(fstat, file, 2, 0),
    ON(fstatfs, file, 2, 0), ON(ftruncate, file, 0, 0), ON(fsync, file, 0, 0),
    ON(fdatasync, file, 0, 0), ON(syncfs, file, 0, 0), ON(sync_file_range, file, 0, 0),
    ON(fallocate, file, 0, 0), ON(fadvise64, file, 0, 0), ON(readahead, file, 0, 0),
    ON(fchmod, file, 0, 0), ON(fchown, file, 0, 0), ON(getdents64, file, 2, 2),
    ON(copy_file_range, two_files, 10, 0), ON(sendfile, two_files, 4, 0), THROUGH(sync, 0, 0),
    /* names */
    ON(stat, path, 3, 0), ON(lstat, path, 3, 0), ON(newfstatat, path, 6, 0),
    ON(statx, path, 18, 0), ON(access, path, 1, 0), ON(faccessat, path, 2, 0),
    ON(faccessat2, path, 2, 0), ON(rmdir, path, 1, 0), ON(unlink, path, 1, 0),
    ON(unlinkat, path, 2, 0), ON(chmod, path, 1, 0), ON(fchmodat, path, 2, 0),
    ON(chown, path, 1, 0), ON(lchown, path, 1, 0), ON(fchownat, path, 2, 0),
    ON(utimensat, path, 6, 0), ON(readlink, readlink, 1, 2), ON(readlinkat, readlink, 2, 3),
    ON(mkdir, mkdir, 1, 0), ON(mkdirat, mkdir, 2, 0), ON(rename, two_paths, 3, 0),
    ON(renameat, two_paths, 10, 0), ON(renameat2, two_paths, 10, 0), ON(link, two_paths, 3, 0),
    ON(linkat, two_paths, 10, 0), ON(symlink, two_paths, 3, 0), ON(symlinkat, two_paths, 5, 0),
    ON(truncate, truncate, 1, 0), ON(statfs, statfs, 3, 0), ON(chdir, chdir, 1, 0),
    ON(fchdir, chdir, 0, 0), ON(getcwd, getcwd, 0, 0), ON(umask, umask, 0, 0),
    /* pipes, sockets */
    ON(pipe, pipe, 0, 0), ON(pipe2, pipe, 0, 0), ON(socket, socket, 0, 0),
    ON(socketpair, socketpair, 0, 0), ON(accept, accept, 6, 0), ON(accept4, accept, 6, 0),
    ON(connect, connect, 2, 0), ON(bind, file, 2, 0), ON(listen, file, 0, 0),
    ON(shutdown, file, 0, 0), ON(getsockname, file, 6, 0), ON(getpeername, file, 6, 0),
    ON(setsockopt, file, 0, 4), ON(getsockopt, file, 24, 0), ON(sendto, file, 18, 2),
    ON(recvfrom, file, 50, 2), ON(sendmsg, message, 0, 0), ON(recvmsg, message, 0, 0),
    ON(eventfd, eventfd, 0, 0), ON(eventfd2, eventfd, 0, 0), ON(memfd_create, memfd, 0, 0),
    ON(epoll_create, epoll_create, 0, 0), ON(epoll_create1, epoll_create, 0, 0),
    ON(epoll_ctl, epoll_ctl, 8, 0), ON(epoll_wait, epoll_wait, 0, 0),
    ON(epoll_pwait, epoll_wait, 0, 0), ON(poll, poll, 0, 0), ON(ppoll, poll, 0, 0),
    ON(select, select, 0, 0), ON(pselect6, select, 0, 0),
};

static const char *const names[512] = {
#define N(name) [SYS_##name] = #name
    N(read), N(write), N(open), N(close), N(stat), N(fstat), N(lstat), N(poll), N(lseek), N(mmap),
    N(mprotect), N(munmap), N(brk), N(rt_sigaction), N(rt_sigprocmask), N(rt_sigreturn), N(ioctl),
    N(pread64), N(pwrite64), N(readv), N(writev), N(access), N(pipe), N(select), N(sched_yield),
    N(mremap), N(msync), N(mincore), N(madvise), N(shmget), N(shmat), N(shmctl), N(dup), N(dup2),
    N(pause), N(nanosleep), N(getitimer), N(alarm), N(setitimer), N(getpid), N(sendfile),
    N(socket), N(connect), N(accept), N(sendto), N(recvfrom), N(sendmsg), N(recvmsg), N(shutdown),
    N(bind), N(listen), N(getsockname), N(getpeername), N(socketpair), N(setsockopt),
    N(getsockopt), N(clone), N(fork), N(vfork), N(execve), N(exit), N(wait4), N(kill), N(uname),
    N(semget), N(semop), N(semctl), N(shmdt), N(msgget), N(msgsnd), N(msgrcv), N(msgctl),
    N(fcntl), N(flock), N(fsync), N(fdatasync), N(truncate), N(ftruncate), N(getdents), N(getcwd),
    N(chdir), N(fchdir), N(rename), N(mkdir), N(rmdir), N(creat), N(link), N(unlink), N(symlink),
    N(readlink), N(chmod), N(fchmod), N(chown), N(fchown), N(lchown), N(umask), N(gettimeofday),
    N(getrlimit), N(getrusage), N(sysinfo), N(times), N(ptrace), N(getuid), N(syslog), N(getgid),
    N(setuid), N(setgid), N(geteuid), N(getegid), N(setpgid), N(getppid), N(getpgrp), N(setsid),
    N(setreuid), N(setregid), N(getgroups), N(setgroups), N(setresuid), N(getresuid),
    N(setresgid), N(getresgid), N(getpgid), N(setfsuid), N(setfsgid), N(getsid), N(capget),
    N(capset), N(rt_sigpending), N(rt_sigtimedwait), N(rt_sigqueueinfo), N(rt_sigsuspend),
    N(sigaltstack), N(utime), N(mknod), N(uselib), N(personality), N(ustat), N(statfs),
    N(fstatfs), N(sysfs), N(getpriority), N(setpriority), N(sched_setparam), N(sched_getparam),
    N(sched_setscheduler), N(sched_getscheduler), N(sched_get_priority_max),
    N(sched_get_priority_min), N(sched_rr_get_interval), N(mlock), N(munlock), N(mlockall),
    N(munlockall), N(vhangup), N(modify_ldt), N(pivot_root), N(_sysctl), N(prctl), N(arch_prctl),
    N(adjtimex), N(setrlimit), N(chroot), N(sync), N(acct), N(settimeofday), N(mount), N(umount2),
    N(swapon), N(swapoff), N(reboot), N(sethostname), N(setdomainname), N(iopl), N(ioperm),
    N(create_module), N(init_module), N(delete_module), N(get_kernel_syms), N(query_module),
    N(quotactl), N(nfsservctl), N(getpmsg), N(putpmsg), N(afs_syscall), N(tuxcall), N(security),
    N(gettid), N(readahead), N(setxattr), N(lsetxattr), N(fsetxattr), N(getxattr), N(lgetxattr),
    N(fgetxattr), N(listxattr), N(llistxattr), N(flistxattr), N(removexattr), N(lremovexattr),
    N(fremovexattr), N(tkill), N(time), N(futex), N(sched_setaffinity), N(sched_getaffinity),
    N(set_thread_area), N(io_setup), N(io_destroy), N(io_getevents), N(io_submit), N(io_cancel),
    N(get_thread_area), N(lookup_dcookie), N(epoll_create), N(epoll_ctl_old), N(epoll_wait_old),
    N(remap_file_pages), N(getdents64), N(set_tid_address), N(restart_syscall), N(semtimedop),
    N(fadvise64), N(timer_create), N(timer_settime), N(timer_gettime), N(timer_getoverrun),
    N(timer_delete), N(clock_settime), N(clock_gettime), N(clock_getres), N(clock_nanosleep),
    N(exit_group), N(epoll_wait), N(epoll_ctl), N(tgkill), N(utimes), N(vserver), N(mbind),
    N(set_mempolicy), N(get_mempolicy), N(mq_open), N(mq_unlink), N(mq_timedsend),
    N(mq_timedreceive), N(mq_notify), N(mq_getsetattr), N(kexec_load), N(waitid), N(add_key),
    N(request_key), N(keyctl), N(ioprio_set), N(ioprio_get), N(inotify_init),
    N(inotify_add_watch), N(inotify_rm_watch), N(migrate_pages), N(openat), N(mkdirat),
    N(mknodat), N(fchownat), N(futimesat), N(newfstatat), N(unlinkat), N(renameat), N(linkat),
    N(symlinkat), N(readlinkat), N(fchmodat), N(faccessat), N(pselect6), N(ppoll), N(unshare),
    N(set_robust_list), N(get_robust_list), N(splice), N(tee), N(sync_file_range), N(vmsplice),
    N(move_pages), N(utimensat), N(epoll_pwait), N(signalfd), N(timerfd_create), N(eventfd),
    N(fallocate), N(timerfd_settime), N(timerfd_gettime), N(accept4), N(signalfd4), N(eventfd2),
    N(epoll_create1), N(dup3), N(pipe2), N(inotify_init1), N(preadv), N(pwritev),
    N(rt_tgsigqueueinfo), N(perf_event_open), N(recvmmsg), N(fanotify_init), N(fanotify_mark),
    N(prlimit64), N(name_to_handle_at), N(open_by_handle_at), N(clock_adjtime), N(syncfs),
    N(sendmmsg), N(setns), N(getcpu), N(process_vm_readv), N(process_vm_writev), N(kcmp),
    N(finit_module), N(sched_setattr), N(sched_getattr), N(renameat2), N(seccomp), N(getrandom),
    N(memfd_create), N(kexec_file_load), N(bpf), N(execveat), N(userfaultfd), N(membarrier),
    N(mlock2), N(copy_file_range), N(preadv2), N(pwritev2), N(pkey_mprotect), N(pkey_alloc),
    N(pkey_free), N(statx), N(io_pgetevents), N(rseq), N(pidfd_send_signal), N(io_uring_setup),
    N(io_uring_enter), N(io_uring_register), N(open_tree), N(move_mount), N(fsopen), N(fsconfig),
    N(fsmount), N(fspick), N(pidfd_open), N(clone3), N(close_range), N(openat2), N(pidfd_getfd),
    N(faccessat2), N(process_madvise), N(epoll_pwait2), N(mount_setattr), N(quotactl_fd),
    N(landlock_create_ruleset), N(landlock_add_rule), N(landlock_restrict_self), N(memfd_secret),
    N(process_mrelease), N(futex_waitv), N(set_mempolicy_home_node),
#undef N
};
/* clang-format on */

const char *weft__system_name(int64_t number)
{
    return number >= 0 && number < 512 ? names[number] : NULL;
}

"""Ranks in cells, for gdb: source this file, in a process or a core of weft-app.

  gdb -p PID -x scripts/gdb-weft.py      (PID: weft apps -l)
  (gdb) weft-ranks                       the ranks of this process and what they do
  (gdb) weft-rank 3                      symbols and frames of rank 3, from frame 1 on
  (gdb) weft-rank                        the thread's own frames again

A rank that waits has no thread: its registers lie in its memory, where it has called the runtime, or
in what has been put aside for a system call that waits. This puts them below the newest frame of the
selected thread; nothing is written into the process. Every rank has its own copy of the program's
data, so the symbols are those of one rank at a time."""

import re

import gdb
from gdb.unwinder import Unwinder, register_unwinder

PAGE = 4096
IN_CALL = ("r15", "r14", "r13", "r12", "rbx", "rbp", "rip")  # as gate.S pushes them
IN_CONTEXT = {"r8": 0, "r9": 1, "r10": 2, "r11": 3, "r12": 4, "r13": 5, "r14": 6, "r15": 7, "rdi": 8, "rsi": 9,
              "rbp": 10, "rbx": 11, "rdx": 12, "rax": 13, "rcx": 14, "rsp": 15, "rip": 16}  # REG_* of ucontext.h


class Mapping:
    def __init__(self, begin, end, offset, path):
        self.begin, self.end, self.offset, self.path = begin, end, offset, path


def mappings():
    found = []
    for line in gdb.execute("info proc mappings", to_string=True).splitlines():
        match = re.match(r"\s*0x([0-9a-f]+)\s+0x([0-9a-f]+)\s+0x[0-9a-f]+\s+0x([0-9a-f]+)\s*([-rwxps]{4}\s)?\s*(.*)$", line)
        if match:
            found.append(Mapping(*(int(match.group(i), 16) for i in (1, 2, 3)), match.group(5).strip()))
    return sorted(found, key=lambda one: one.begin)


def word(address):
    return int.from_bytes(gdb.selected_inferior().read_memory(address, 8).tobytes(), "little")


def at(address, type_name):
    return gdb.Value(address).cast(gdb.lookup_type(type_name).pointer()).dereference()


class Rank:
    """A rank whose range begins at `begin`."""

    def __init__(self, number, begin, maps):
        self.number, self.begin = number, begin
        self.cell = at(begin, "struct weft_cell")
        self.end = begin + int(self.cell["len_bytes"])
        self.origins = {}  # of the program, which lies lowest, and of its libraries: by path
        for one in maps:
            if self.begin <= one.begin < self.end and one.path.startswith("/") and not one.path.startswith("/memfd:"):
                self.origins.setdefault(one.path, one.begin - one.offset)

    def state(self):
        runtime = at(int(self.cell["runtime"]), "struct weft__range")
        return self.begin + int(runtime["program_offset"])

    def frame(self):
        length = gdb.lookup_type("struct weft__system_state").sizeof
        space = self.state() + (length + PAGE - 1) // PAGE * PAGE
        return at(space, "struct weft__space")["frame"]

    def thread(self):
        """The thread that runs the rank's program just now."""
        for thread in gdb.selected_inferior().threads():
            with Selected(thread):
                if self.begin <= int(gdb.newest_frame().read_register("rsp")) < self.end:
                    return thread
        return None

    def registers(self):
        """Of a rank that waits."""
        wait = at(self.state(), "struct weft__system_state")["wait"]
        if int(wait["active"]):
            general = wait["context"]["general"]
            return {name: int(general[i]) & (2**64 - 1) for name, i in IN_CONTEXT.items()}
        sp = int(self.frame()["sp"])
        found = {name: word(sp + 8 * i) for i, name in enumerate(IN_CALL)}
        found["rsp"] = sp + 8 * len(IN_CALL)
        return found

    def where(self):
        thread = self.thread()
        if thread:
            return "runs in thread %d" % thread.num
        if not self.origins:
            return "is no cell"
        if not int(self.frame()["sp"]):
            return "has not called the runtime yet"
        return "waits, called from 0x%x" % self.registers()["rip"]


class Selected:
    def __init__(self, thread):
        self.wanted = thread

    def __enter__(self):
        self.before = gdb.selected_thread()
        self.wanted.switch()

    def __exit__(self, *_):
        self.before.switch()


def ranks():
    maps, found = mappings(), {}
    for one in maps:
        match = re.match(r"/memfd:weft-rank-(\d+)", one.path)
        if match and int(match.group(1)) not in found:
            found[int(match.group(1))] = Rank(int(match.group(1)), one.begin, maps)
    if not found:
        raise gdb.GdbError("no ranks here: is this a process of weft-app? weft apps -l tells their numbers")
    return found


class FrameId:
    def __init__(self, sp, pc):
        self.sp, self.pc = sp, pc


class Below(Unwinder):
    """Makes the frames of a rank that waits the callers of a thread's newest frame."""

    def __init__(self):
        super().__init__("weft-rank")
        self.sp, self.registers = None, None

    def __call__(self, pending):
        sp = pending.read_register("rsp")
        if self.registers is None or int(sp) != self.sp:
            return None
        word_type = gdb.lookup_type("unsigned long")
        # Callers lie higher on a stack than what they call, or gdb takes the stack for broken.
        inner = gdb.Value(self.registers["rsp"] - PAGE).cast(word_type)
        info = pending.create_unwind_info(FrameId(inner, pending.read_register("rip")))
        for name, value in self.registers.items():
            info.add_saved_register(name, gdb.Value(value).cast(word_type))
        return info


below = Below()
symbols = []


def forget():
    below.registers = None
    while symbols:
        gdb.execute("remove-symbol-file -a 0x%x" % symbols.pop(), to_string=True)
    gdb.invalidate_cached_frames()


class RanksCommand(gdb.Command):
    """weft-ranks: the ranks that are in this process, and what they do."""

    def __init__(self):
        super().__init__("weft-ranks", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        for rank in sorted(ranks().values(), key=lambda one: one.number):
            print("rank %d at 0x%x %s" % (rank.number, rank.begin, rank.where()))


class RankCommand(gdb.Command):
    """weft-rank N: symbols of rank N, and its frames; without N: those of the thread again."""

    def __init__(self):
        super().__init__("weft-rank", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        forget()
        if not argument:
            return
        rank = ranks().get(int(argument))
        if rank is None:
            raise gdb.GdbError("rank %s is not in this process" % argument)
        if not rank.origins:
            raise gdb.GdbError("rank %s is no cell: its symbols are those of the process" % argument)
        for path, origin in rank.origins.items():
            gdb.execute("add-symbol-file %s -o 0x%x" % (path, origin), to_string=True)
            symbols.append(origin + self.text_of(path))
        thread = rank.thread()
        if thread:
            thread.switch()
            gdb.execute("backtrace")
            return
        gdb.newest_frame().select()
        below.sp = int(gdb.newest_frame().read_register("rsp"))
        below.registers = rank.registers()
        gdb.invalidate_cached_frames()
        gdb.execute("frame 1", to_string=True)
        gdb.execute("backtrace")

    @staticmethod
    def text_of(path):
        """Where a file's code begins: any address of it names the file."""
        with open(path, "rb") as file:
            head = file.read(64)
            file.seek(int.from_bytes(head[32:40], "little"))
            size, n = (int.from_bytes(head[i:i + 2], "little") for i in (54, 56))
            for _ in range(n):
                segment = file.read(size)
                if int.from_bytes(segment[0:4], "little") == 1 and segment[4] & 1:
                    return int.from_bytes(segment[16:24], "little")
        return 0


register_unwinder(None, below, replace=True)
RanksCommand()
RankCommand()
# System calls of ranks come as signals, and some of their memory is watched by others: no reason to stop.
gdb.execute("handle SIGSYS nostop noprint pass", to_string=True)

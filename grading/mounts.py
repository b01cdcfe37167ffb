"""A raiz de um isolamento feito só com o ``unshare``: o que o bubblewrap faria, onde ele não está instalado.

``grading.sandbox`` executa este arquivo, com o Python e nada mais, dentro dos espaços de nomes novos. Ele monta uma
raiz na memória com o que a entrega pode ver, troca a raiz por ela (``pivot_root(2)``) e vira o comando que espera.
"""

import ctypes
import json
import os
import platform
import sys

# linux/mount.h
RDONLY, NOSUID, NODEV, NOEXEC, REMOUNT, NOATIME, NODIRATIME, BIND = 1, 2, 4, 8, 32, 1024, 2048, 4096
REC, PRIVATE, RELATIME, DETACH = 16384, 1 << 18, 1 << 21, 2
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}.get(platform.machine())

STAGE, OLD, NEW = "/tmp", "/velha", "/nova"  # noqa: S108 — a pasta só serve de apoio, neste espaço de nomes
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")

libc = ctypes.CDLL(None, use_errno=True)


def checked(result, target):
    """Levanta o erro do sistema, se houve."""
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), target)


def mount(source, target, kind=None, flags=0, data=None):
    """``mount(2)``."""
    arguments = [None if value is None else os.fsencode(value) for value in (source, target, kind)]
    checked(libc.mount(*arguments, ctypes.c_ulong(flags), data and data.encode()), target)


def pivot_root(new, old):
    """``pivot_root(2)``, que a libc não oferece pelo nome."""
    checked(libc.syscall(PIVOT_ROOT, new.encode(), old.encode()), new)


def kept_flags(path):
    """As opções de uma montagem que um usuário comum não pode tirar ao remontá-la (``mount_namespaces(7)``)."""
    flags = os.statvfs(path).f_flag
    kept = {os.ST_NOSUID: NOSUID, os.ST_NODEV: NODEV, os.ST_NOEXEC: NOEXEC, os.ST_NOATIME: NOATIME}
    kept |= {os.ST_NODIRATIME: NODIRATIME, os.ST_RELATIME: RELATIME}
    return sum(value for flag, value in kept.items() if flags & flag)


def show(source, target, read_only=True):
    """Mostra uma pasta, um arquivo ou um dispositivo do computador na nova raiz."""
    source, place = OLD + source, NEW + target
    os.makedirs(place if os.path.isdir(source) else os.path.dirname(place), exist_ok=True)
    if not os.path.isdir(source):
        os.close(os.open(place, os.O_CREAT))
    mount(source, place, flags=BIND | REC)
    if read_only:
        mount(None, place, flags=REMOUNT | BIND | RDONLY | NOSUID | kept_flags(place))


def build_root(view):
    """Monta a nova raiz e troca por ela a deste processo."""
    mount(None, "/", flags=REC | PRIVATE)
    mount("tmpfs", STAGE, "tmpfs", NOSUID | NODEV, "mode=755")
    os.chdir(STAGE)
    os.mkdir(OLD[1:])
    os.mkdir(NEW[1:])
    pivot_root(".", OLD[1:])
    os.chdir("/")
    mount(NEW, NEW, flags=BIND)

    for link, target in view["links"]:
        os.symlink(target, NEW + link)
    for folder, size in view["in_memory"].items():
        os.makedirs(NEW + folder, exist_ok=True)
        mount("tmpfs", NEW + folder, "tmpfs", NOSUID | NODEV, f"size={size},mode=1777")
    for source, target in view["visible"]:
        show(source, target)
    for name in DEVICES:
        show(f"/dev/{name}", f"/dev/{name}", read_only=False)
    os.symlink("/proc/self/fd", f"{NEW}/dev/fd")
    show(*view["channel"], read_only=False)
    os.mkdir(f"{NEW}/proc")
    mount("proc", f"{NEW}/proc", "proc", NOSUID | NODEV | NOEXEC)
    mount(None, NEW, flags=REMOUNT | BIND | RDONLY | NOSUID | NODEV)

    os.chdir(NEW)
    pivot_root(".", ".")
    checked(libc.umount2(b".", DETACH), NEW)
    os.chdir("/")


def main():
    view = json.loads(sys.argv[1])
    build_root(view)
    os.execv(view["command"][0], view["command"])  # noqa: S606


if __name__ == "__main__":
    main()

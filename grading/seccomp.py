"""Chamadas ao sistema que uma entrega não pode fazer, por um filtro que ela não tira (``seccomp(2)``).

São as que abririam uma porta que os outros limites não veem: memória que não conta como de processo algum, espaços de
nomes novos (em que se montam pastas na memória sem limite) e ler ou escrever na memória de outro processo.
"""

import ctypes
import errno
import os
import platform
import struct

# Os números de cada arquitetura são os de asm/unistd.h; os mais novos são os mesmos em todas.
_NEW = {"io_uring_setup": 425, "clone3": 435, "pidfd_getfd": 438, "memfd_secret": 447}
_NUMBERS = {
    "x86_64": {
        "shmget": 29,
        "clone": 56,
        "ptrace": 101,
        "unshare": 272,
        "process_vm_readv": 310,
        "process_vm_writev": 311,
        "memfd_create": 319,
        **_NEW,
    },
    "aarch64": {
        "unshare": 97,
        "ptrace": 117,
        "shmget": 194,
        "clone": 220,
        "process_vm_readv": 270,
        "process_vm_writev": 271,
        "memfd_create": 279,
        **_NEW,
    },
}
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # linux/audit.h

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # linux/bpf_common.h
_ALLOW, _REFUSE, _MISSING = 0x7FFF0000, 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS  # linux/seccomp.h
_CALL, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # os campos de struct seccomp_data
_X32 = 0x40000000
_NEWUSER = 0x10000000
_SET_SECCOMP, _FILTER, _NO_NEW_PRIVS = 22, 2, 38  # linux/prctl.h


def refuse_calls():
    """Põe o filtro neste processo e nos filhos que ele tiver; onde não se sabe os números das chamadas, não faz nada.

    Raises:
        OSError: se o sistema não aceita o filtro.
    """
    machine = platform.machine()
    if machine not in _NUMBERS:
        return
    program = b"".join(struct.pack("HBBI", *one) for one in _program(_NUMBERS[machine], _ARCHITECTURES[machine]))
    instructions = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(instructions))  # struct sock_fprog
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(_SET_SECCOMP, _FILTER, described):
        raise OSError(ctypes.get_errno(), f"seccomp: {os.strerror(ctypes.get_errno())}")


def _program(numbers, architecture):
    """As instruções ``(código, salto se sim, salto se não, valor)``."""
    yield _LOAD, 0, 0, _ARCHITECTURE
    yield _EQUAL, 1, 0, architecture
    yield _RETURN, 0, 0, _REFUSE
    yield _LOAD, 0, 0, _CALL
    yield _AT_LEAST, 0, 1, _X32
    yield _RETURN, 0, 0, _REFUSE
    for name, number in numbers.items():
        if name != "clone":
            yield _EQUAL, 0, 1, number
            yield _RETURN, 0, 0, _MISSING if name == "clone3" else _REFUSE  # sem a clone3, a libc usa a clone
    yield _EQUAL, 0, 3, numbers["clone"]
    yield _LOAD, 0, 0, _FIRST_ARGUMENT
    yield _ANY_BIT, 0, 1, _NEWUSER
    yield _RETURN, 0, 0, _REFUSE
    yield _RETURN, 0, 0, _ALLOW

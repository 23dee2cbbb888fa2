# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine's disks: the root image, the small initramfs and the media in its drives."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

from . import cache

TESTS = Path(__file__).resolve().parent.parent
HERE = Path(__file__).resolve().parent

SUITE = "bookworm"
PACKAGES = """
    udev kmod systemd dbus udisks2 iproute2 procps python3 strace
    sg3-utils lsscsi eject dmsetup udftools
    xorriso cdrskin wodim growisofs cdrdao
""".split()

# What initramfs must load to find the root, and what tests may load later on.
BOOT_MODULES = "virtio_pci virtio_blk ext4 overlay".split()
MODULES = """
    sr_mod sg cdrom isofs udf loop dm_mod pktcdvd
    virtio_scsi virtio_console ahci libahci ata_piix xhci_pci ehci_pci uhci_hcd usb_storage uas
    scsi_debug target_core_mod target_core_user target_core_file target_core_iblock
    tcm_loop uio configfs crc_t10dif crct10dif_generic crct10dif_pclmul crc32c_generic
    button
    vfat ntfs3 fuse nls_iso8859_1 nls_utf8 nls_cp437 nls_ascii
""".split()

INIT = """#!/bin/busybox sh
# The root image read-only below, a tmpfs above: every boot starts from the same state.
/bin/busybox mkdir -p /proc /sys /dev /low /up /new
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
for module in $(/bin/busybox cat /modules); do /bin/busybox insmod /m/$module; done
until [ -b /dev/vda ]; do /bin/busybox sleep 0.05; done
/bin/busybox mount -t ext4 -o ro,noload /dev/vda /low
/bin/busybox mount -t tmpfs -o size=75% up /up
/bin/busybox mkdir /up/data /up/work
/bin/busybox mount -t overlay -o lowerdir=/low,upperdir=/up/data,workdir=/up/work root /new
/bin/busybox cp -a /machine /new/opt/
/bin/busybox mount --move /proc /new/proc
/bin/busybox mount --move /sys /new/sys
/bin/busybox mount --move /dev /new/dev
exec /bin/busybox switch_root /new /bin/sh /opt/machine/guest/boot.sh
"""


def need(*packages: str) -> None:
    """Install packages on this machine, when missing."""
    subprocess.run([TESTS / "setup" / "need", *packages], check=True)


def as_root(*command: str | Path) -> None:
    """Run a command as root; its output only when it fails."""
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    checked(*sudo, *command)


def checked(*command: str | Path, **options) -> None:
    """Run a command; its output only when it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    if done.returncode:
        name = Path(str(command[0])).name
        raise RuntimeError(f"{name} failed:\n{done.stdout.decode(errors='replace')[-3000:]}")


def tool(name: str) -> str:
    """The path of a program that may live in /sbin, which a user's PATH may lack."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if not path:
        raise RuntimeError(f"{name} is not installed")
    return path


def kernel(series: str) -> Path:
    """The folder of a stock kernel (tests/kernels/stock)."""
    out = subprocess.run([TESTS / "kernels" / "stock", series], check=True, stdout=subprocess.PIPE)
    return Path(out.stdout.decode().strip())


def release(kernel_folder: Path) -> str:
    return (kernel_folder / "version").read_text().strip()


def closure(kernel_folder: Path, names: list[str], required: bool = True) -> list[Path]:
    """The files of modules and of all that they depend on, in load order."""
    files: list[Path] = []
    for name in names:
        done = subprocess.run(
            [tool("modprobe"), "-d", kernel_folder, "-S", release(kernel_folder), "-D", name],
            text=True, capture_output=True)
        if done.returncode and required:
            raise RuntimeError(f"module {name}: {done.stderr.strip()}")
        for line in done.stdout.splitlines():
            word, _, path = line.partition(" ")
            if word == "insmod" and Path(path.strip()) not in files:
                files.append(Path(path.strip()))
    return files


def userland() -> Path:
    """The Debian system of the machine, as a tar file."""
    def make(folder: Path) -> None:
        need("mmdebstrap")
        as_root("mmdebstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}",
                "--aptopt=Acquire::Languages none", "--dpkgopt=path-exclude=/usr/share/man/*",
                "--dpkgopt=path-exclude=/usr/share/locale/*", "--dpkgopt=path-exclude=/usr/share/doc/*",
                SUITE, folder / "root.tar")
        as_root("chown", f"{os.getuid()}:{os.getgid()}", folder / "root.tar")

    key = cache.digest("1", SUITE, *PACKAGES)
    return cache.made("userland", key, make, f"the machine's {SUITE} system", keep=2) / "root.tar"


def root_image(kernel_folder: Path) -> Path:
    """The root image: the system and the kernel's modules that tests need."""
    def make(folder: Path) -> None:
        need("e2fsprogs", "kmod")
        with tempfile.TemporaryDirectory(dir=folder.parent) as name:
            tree = Path(name) / "tree"
            tree.mkdir()
            as_root("tar", "-C", tree, "--numeric-owner", "-xpf", userland())
            try:
                _install_modules(kernel_folder, tree)
                as_root(tool("mke2fs"), "-q", "-t", "ext4", "-O", "^has_journal", "-m", "0",
                        "-d", tree, folder / "root.img", "900M")
                as_root("chown", f"{os.getuid()}:{os.getgid()}", folder / "root.img")
            finally:
                as_root("rm", "-rf", "--one-file-system", tree)

    key = cache.digest("1", str(userland().parent.name), kernel_folder.name, *MODULES)
    return cache.made("root", key, make, "the root image", keep=4) / "root.img"


def _install_modules(kernel_folder: Path, tree: Path) -> None:
    """Only the modules asked for: depmod over all of them takes 18 s in the machine."""
    name = release(kernel_folder)
    target = tree / "usr/lib/modules" / name
    as_root("mkdir", "-p", target)
    for path in closure(kernel_folder, MODULES, required=False):
        place = target / path.relative_to(kernel_folder / "lib/modules" / name)
        as_root("install", "-D", "-m", "644", path, place)
    for path in (kernel_folder / "lib/modules" / name).glob("modules.*"):
        if path.name.startswith(("modules.builtin", "modules.order")):
            as_root("install", "-m", "644", path, target / path.name)
    as_root(tool("depmod"), "-b", tree, name)


def initramfs(kernel_folder: Path) -> Path:
    """A small initramfs: busybox, the boot modules, and this package for the agent to run from."""
    need("busybox-static", "kmod")
    modules = closure(kernel_folder, BOOT_MODULES)
    package = {name: path for name, path in guest_files().items()
               if Path(name).name in ("__init__.py", "agent.py", "boot.sh")}

    def make(folder: Path) -> None:
        entries: dict[str, tuple[int, bytes]] = {
            "init": (stat.S_IFREG | 0o755, INIT.encode()),
            "modules": (stat.S_IFREG | 0o644, "\n".join(p.name for p in modules).encode()),
            "bin/busybox": (stat.S_IFREG | 0o755, Path(tool("busybox")).read_bytes()),
        }
        for path in modules:
            entries[f"m/{path.name}"] = (stat.S_IFREG | 0o644, path.read_bytes())
        for name, path in package.items():
            entries[f"machine/{name}"] = (stat.S_IFREG | 0o755, path.read_bytes())
        (folder / "initramfs").write_bytes(newc(entries))

    key = cache.digest("1", INIT, kernel_folder.name, Path(tool("busybox")), modules,
                       *package, package.values())
    return cache.made("initramfs", key, make, keep=8) / "initramfs"


def guest_files() -> dict[str, Path]:
    """What of this package the machine itself gets: its face and the guest's half."""
    files = [HERE / "__init__.py", *sorted((HERE / "guest").iterdir())]
    return {str(path.relative_to(HERE)): path for path in files if path.is_file()}


def newc(entries: dict[str, tuple[int, bytes]]) -> bytes:
    """A cpio archive in the kernel's format (Documentation/driver-api/early-userspace)."""
    folders = {str(parent) for name in entries for parent in Path(name).parents} - {"."}
    everything = {name: (stat.S_IFDIR | 0o755, b"") for name in sorted(folders)}
    everything |= {"dev": (stat.S_IFDIR | 0o755, b"")} | entries
    out = bytearray()
    for inode, (name, (mode, data)) in enumerate(everything.items(), start=1):
        _newc_entry(out, inode, name, mode, data)
    _newc_entry(out, 0, "TRAILER!!!", 0, b"")
    return bytes(out)


def _newc_entry(out: bytearray, inode: int, name: str, mode: int, data: bytes) -> None:
    fields = [inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
    out += b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
    out += b"\0" * (-len(out) % 4) + data
    out += b"\0" * (-len(out) % 4)


def medium(label: str, megabytes: int = 8) -> Path:
    """A small ISO 9660 disc with its own label and contents that can be told from any other's."""
    def make(folder: Path) -> None:
        need("xorriso")
        with tempfile.TemporaryDirectory() as name:
            tree = Path(name)
            (tree / "label.txt").write_text(f"{label}\n")
            line = f"{label} ".encode()
            block = (line * (4096 // len(line) + 1))[:4096]
            (tree / "data.bin").write_bytes(block * (megabytes * 256))
            checked("xorriso", "-as", "mkisofs", "-quiet", "-R", "-J", "-V", label,
                    "-o", folder / "disc.iso", tree)

    return cache.made("media", f"{label}-{megabytes}-1", make, keep=32) / "disc.iso"

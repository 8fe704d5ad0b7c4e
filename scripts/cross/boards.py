#!/usr/bin/env python3
"""Six Jetson boards as folders, and dlaplan on each of them.

boards.py write BASE OUT     makes the folders OUT/BOARD, each with a copy of BASE (a C library and a shell)
boards.py test OUT DLAPLAN QEMU
                             probes, deploys, greets the worker, measures and removes, with DLAPLAN as
                             the client, chroot in the place of ssh and QEMU to run the boards' programs;
                             as root and not

The files have the paths and forms that jetson_stats, nvpmodel.conf of L4T R32-R36 and forum posts show.
None was recorded on a board.
"""
import ctypes
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

USER = 12345
DLA_DEBUG = {
    "sys/kernel/debug/clk/dla0_core/clk_rate": "614400000\n",
    "sys/kernel/debug/bpmp/debug/clk/emc/rate": "2133000000\n",
}
DEVKIT_NX = "NVIDIA Jetson Orin NX Engineering Reference Developer Kit"

# name: what it is, and what dlaplan must say of it. Clocks in Hz (min, max), power modes (id, name).
BOARDS = {
    "xavier-nx-r35": dict(
        model="NVIDIA Jetson Xavier NX Developer Kit",
        compatible=["nvidia,p3509-0000+p3668-0000", "nvidia,tegra194"],
        l4t="# R35 (release), REVISION: 3.1, GCID: 32827747, BOARD: t186ref, EABI: aarch64, DATE: x",
        memory_kb=6846256, status="pmode:0008", modes=[(0, "MODE_15W_2CORE"), (8, "MODE_20W_6CORE")],
        gpu="17000000.gv11b", clocks=(114750000, 1109250000),
        zones={"CPU-therm": 38500, "GPU-therm": 38000, "AUX-therm": 37500}, debug=DLA_DEBUG,
        expect=dict(module="p3668-0000", power_mode="MODE_20W_6CORE", title="Jetson Xavier NX"),
    ),
    "xavier-nx-r32": dict(
        model="NVIDIA Jetson Xavier NX Developer Kit",
        compatible=["nvidia,p3449-0000+p3668-0000", "nvidia,p3509-0000+p3668-0000", "nvidia,tegra194"],
        l4t="# R32 (release), REVISION: 7.1, GCID: 29818004, BOARD: t186ref",
        memory_kb=7974000, status="pmode:0002 fmode:quiet",
        modes=[(0, "MODE_15W_2CORE"), (2, "MODE_15W_6CORE")],
        gpu="17000000.gv11b", clocks=(114750000, 1109250000), zones={"CPU-therm": 38500},
        expect=dict(module="p3668-0000", power_mode="MODE_15W_6CORE", title="Jetson Xavier NX"),
    ),
    "agx-orin-kit-32g-r35": dict(
        model="Jetson AGX Orin Developer Kit",
        compatible=["nvidia,p3737-0000+p3701-0000", "nvidia,tegra234", "nvidia,tegra23x"],
        l4t="# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref",
        memory_kb=31324000, status="pmode:0003",
        modes=[(0, "MAXN"), (1, "MODE_15W"), (2, "MODE_30W"), (3, "MODE_50W")],
        gpu="17000000.ga10b", clocks=(306000000, 816000000),
        zones={"CPU-therm": 45000, "GPU-therm": 43000, "CV0-therm": 44000, "tj-therm": 45000},
        files={
            "sys/devices/platform/13e40000.host1x/15880000.nvdla0/acm/clk_cap/dla0_core": "1369600000\n",
            "sys/devices/platform/13e40000.host1x/15880000.nvdla0/power/runtime_status": "suspended\n",
            "sys/class/hwmon/hwmon3/name": "ina3221\n",
            "sys/class/hwmon/hwmon3/in1_label": "VDD_GPU_SOC\n",
        },
        debug=DLA_DEBUG,
        expect=dict(module="p3701-0000", power_mode="MODE_50W", title="Jetson AGX Orin 64GB"),
    ),
    "orin-nx-super-r36": dict(
        model=DEVKIT_NX + " Super",
        compatible=["nvidia,p3768-0000+p3767-0000-super", "nvidia,p3767-0000", "nvidia,tegra234"],
        l4t="# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64",
        memory_kb=16000000, status="pmode:0000",
        modes=[(0, "MAXN_SUPER"), (1, "10W"), (2, "15W"), (3, "25W"), (4, "40W")],
        gpu="17000000.gpu", clocks=(306000000, 1173000000),
        zones={"cpu-thermal": 45000, "gpu-thermal": 43000, "cv0-thermal": 44000, "tj-thermal": 45000},
        files={
            "sys/devices/platform/bus@0/13e00000.host1x/15880000.nvdla0/clk_cap/dla0_core": "1230000000\n",
        },
        expect=dict(module="p3767-0000", power_mode="MAXN_SUPER", title="Jetson Orin NX 16GB"),
    ),
    "orin-nx-other-carrier": dict(
        model="Seeed reComputer J40",
        compatible=["seeed,recomputer-j40", "nvidia,p3768-0000+p3767-0000", "nvidia,tegra234"],
        l4t="# R36 (release), REVISION: 4.3, GCID: 38968081",
        memory_kb=16000000, status="pmode:0000", modes=[(0, "MAXN"), (3, "25W")],
        gpu="17000000.gpu", clocks=(306000000, 918000000), zones={},
        expect=dict(module="p3767-0000", power_mode="MAXN", title="Jetson Orin NX 16GB"),
    ),
    "orin-nx-container": dict(
        model=DEVKIT_NX,
        compatible=["nvidia,p3768-0000+p3767-0000", "nvidia,tegra234"],
        l4t=None, memory_kb=16000000, status=None, modes=[],
        gpu="17000000.gpu", clocks=(306000000, 918000000), zones={}, files={".dockerenv": ""},
        expect=dict(module="p3767-0000", power_mode=None, title="Jetson Orin NX 16GB", container=True),
    ),
}


def put(root, path, text):
    path = root / path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def write(base, out, name, board):
    root = out / name
    shutil.copytree(base, root, symlinks=True)
    put(root, "proc/sys/kernel/hostname", name + "\n")
    put(root, "proc/device-tree/model", board["model"] + "\0")
    put(root, "proc/device-tree/compatible", "\0".join(board["compatible"]) + "\0")
    put(root, "proc/meminfo", f"MemTotal: {board['memory_kb']} kB\nMemAvailable: 2097152 kB\n")
    if board["l4t"]:
        put(root, "etc/nv_tegra_release", board["l4t"] + "\n")
    if board["status"]:
        put(root, "var/lib/nvpmodel/status", board["status"])
    if board["modes"]:
        modes = "".join(f"< POWER_MODEL ID={i} NAME={n} >\nGPU MAX_FREQ -1\n" for i, n in board["modes"])
        put(root, "etc/nvpmodel.conf", modes + "< PM_CONFIG DEFAULT=0 >\n")
    device = f"sys/devices/{board['gpu']}/devfreq/{board['gpu']}"
    low, high = board["clocks"]
    for file, text in [("cur_freq", low), ("min_freq", low), ("max_freq", high), ("governor", "nvhost_podgov")]:
        put(root, f"{device}/{file}", f"{text}\n")
    (root / "sys/class/devfreq").mkdir(parents=True)
    (root / "sys/class/devfreq" / board["gpu"]).symlink_to(f"../../devices/{board['gpu']}/devfreq/{board['gpu']}")
    put(root, "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "1190400\n")
    for i, (zone, milli) in enumerate(board["zones"].items()):
        put(root, f"sys/class/thermal/thermal_zone{i}/type", zone + "\n")
        put(root, f"sys/class/thermal/thermal_zone{i}/temp", f"{milli}\n")
    for path, text in {**board.get("files", {}), **board.get("debug", {})}.items():
        put(root, path, text)
    if "debug" in board:
        (root / "sys/kernel/debug").chmod(0o700)
    for folder in ["tmp", "home/u", "home/root", "dev"]:
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder).chmod(0o777)
    put(root, "dev/null", "")
    (root / "dev/null").chmod(0o666)


class Client:
    """dlaplan here, and one board that its ssh leads to."""

    def __init__(self, dlaplan, root, uid, scratch):
        home = "/home/root" if uid == 0 else "/home/u"
        self.root, self.home, self.dlaplan = root, root / home[1:], dlaplan
        self.bin = scratch / f"bin-{root.name}-{uid}"
        self.bin.mkdir()
        ssh = self.bin / "ssh"
        user = f"--userspec={uid}:{uid}" if uid else ""
        # The last argument is the command for the other machine's shell.
        ssh.write_text(
            "#!/bin/sh\nfor command; do :; done\n"
            f"exec env -i HOME={home} PATH=/usr/bin:/bin "
            f"{shutil.which('chroot')} {user} {root} /bin/sh -c \"$command\"\n"
        )
        ssh.chmod(0o755)
        data = scratch / f"data-{root.name}-{uid}"
        self.env = {**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}", "DLAPLAN_DATA_DIR": str(data)}

    def __call__(self, *arguments, code=0):
        done = subprocess.run([self.dlaplan, *arguments], env=self.env, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=300)
        text = done.stdout + done.stderr
        assert done.returncode == code, f"{arguments}: exit code {done.returncode}, not {code}: {text}"
        return done.stdout if code == 0 and not done.stderr else text

    def hello(self, program):
        """What a worker says first; it ends when its stdin does."""
        worker = subprocess.Popen([self.bin / "ssh", "board", f"exec {program} worker --silence 60"], env=self.env,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = next((line for line in worker.stdout if line.strip()), None)
        worker.communicate(timeout=60)
        assert line and worker.returncode == 0, f"the worker said {line!r} and ended with {worker.returncode}"
        return json.loads(line)

    def files(self):
        return sorted(p for p in self.home.rglob("*") if p.is_symlink() or not p.is_dir())


def environment_of(answer):
    """The first object in an answer that looks like an environment."""
    if isinstance(answer, dict):
        if "power_mode" in answer and "module" in answer:
            return answer
        answer = list(answer.values())
    if isinstance(answer, list):
        found = (environment_of(value) for value in answer)
        return next((e for e in found if e), None)
    return None


def check(environment, name, board):
    expect = {"container": False, **board["expect"]}
    expect.pop("title")
    expect |= {"host": name, "board": board["model"], "memory_available_mb": 2048.0}
    expect["l4t"] = board["l4t"]
    for key, value in expect.items():
        assert environment[key] == value, f"{name}: {key} is {environment[key]!r}, not {value!r}"
    low, high = (hz / 1e6 for hz in board["clocks"])
    gpu = next(c for c in environment["clock_ranges"] if c["name"] == "gpu")
    assert (gpu["min_mhz"], gpu["max_mhz"]) == (low, high), f"{name}: {gpu}"
    assert len(environment["temperatures_c"]) == len(board["zones"]), f"{name}: {environment['temperatures_c']}"


def test(root, dlaplan, uid, scratch):
    name, board = root.name, BOARDS[root.name]
    client = Client(dlaplan, root, uid, scratch)
    survey = json.loads(client("probe", "board", "--json", code=1))
    assert (survey["arch"], survey["glibc"]) == ("aarch64", "2.31"), survey
    check(environment_of(survey), name, board)
    lacks = [lack["what"] for lack in survey["lacks"] if lack["fatal"]]
    assert lacks == ["no TensorRT (libnvinfer)", "no dlaplan"], lacks
    notes = " ".join(lack["what"] + lack["remedy"] for lack in survey["lacks"])
    container = board["expect"].get("container", False)
    assert ("--runtime nvidia" in notes) == container, notes
    assert ("no chart" in notes) == container, notes
    words = client("probe", "board", code=1)
    assert f"board: {board['expect']['title']}" in words, words

    said = client("deploy", "board")
    assert "sent " in said and "lib/dlaplan/dlaplan-aarch64" in said, said
    sent = client.files()
    assert "has it already" in client("deploy", "board")
    assert client.files() == sent and len(sent) == 2, sent
    program = next(f for f in sent if f.name == "dlaplan" and not f.is_symlink())
    hello = client.hello("/" + str(program.relative_to(root)))
    environment = environment_of(hello)
    check(environment, name, board)
    if "debug" in board:
        # Only root may read below /sys/kernel/debug; a probe does not look there.
        clocks = dict(environment["clocks_mhz"])
        expect = (614.4, 2133.0) if uid == 0 else (None, None)
        assert (clocks.get("dla0"), clocks.get("emc")) == expect, f"{name}, uid {uid}: {clocks}"
    found = client("profile", "bundled:resnet18", "--no-history", "--on", "board", code=1)
    assert "libcuda" in found or "TensorRT" in found, found
    assert "cannot run" not in found and "ssh" not in found, found
    client("deploy", "board", "--remove")
    assert client.files() == [], client.files()


class NoNamespace(Exception):
    """This machine lets no emulator be registered."""


def enter_namespace(qemu):
    """A user namespace where the kernel starts aarch64 programs with QEMU. Linux 6.7 has such a list for each
    namespace, so nothing changes outside. Returns the ids of the users there."""
    new_user, new_mounts = 0x10000000, 0x00020000
    libc = ctypes.CDLL(None, use_errno=True)
    child, uid, gid = os.getpid(), os.getuid(), os.getgid()
    ready, mapped = os.pipe(), os.pipe()
    if os.fork() == 0:
        # The map of a whole range is written from outside.
        os.read(ready[0], 1)
        try:
            if uid != 0:
                pathlib.Path(f"/proc/{child}/setgroups").write_text("deny")
            count = 65536 if uid == 0 else 1
            pathlib.Path(f"/proc/{child}/uid_map").write_text(f"0 {uid} {count}")
            pathlib.Path(f"/proc/{child}/gid_map").write_text(f"0 {gid} {count}")
        finally:
            os.write(mapped[1], b".")
            os._exit(0)
    failed = libc.unshare(new_user | new_mounts) != 0
    os.write(ready[1], b".")
    os.read(mapped[0], 1)
    os.wait()
    if failed:
        raise NoNamespace(os.strerror(ctypes.get_errno()))
    # Header of an ELF program for aarch64, as qemu's own qemu-binfmt-conf.sh has it. F: QEMU is opened now, so that
    # it is not needed below a chroot. P: argv[0] is kept, which says which tool busybox is.
    magic = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
    mask = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
    where = "/proc/sys/fs/binfmt_misc"
    try:
        if libc.mount(b"none", where.encode(), b"binfmt_misc", 0, None) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        with open(f"{where}/register", "w") as register:
            register.write(f":dlaplan-aarch64:M::{magic}:{mask}:{qemu}:PF")
    except OSError as why:
        raise NoNamespace(f"{where}: {why}") from why
    return [0, USER] if uid == 0 else [0]


def main():
    task, *arguments = sys.argv[1:]
    if task == "write":
        base, out = map(pathlib.Path, arguments)
        for name, board in BOARDS.items():
            write(base, out, name, board)
        return
    out, dlaplan, qemu = arguments
    try:
        users = enter_namespace(qemu)
    except NoNamespace as why:
        print(f"boards: skipped, this machine lets no emulator be registered: {why}")
        return
    with tempfile.TemporaryDirectory() as scratch:
        for name in BOARDS:
            for uid in users:
                test(pathlib.Path(out) / name, dlaplan, uid, pathlib.Path(scratch))
                print(f"{name}, uid {uid}: probed, deployed once, greeted, refused to measure, removed", flush=True)
    if len(users) == 1:
        print("as another user: skipped, only root can have two users in a namespace")


main()

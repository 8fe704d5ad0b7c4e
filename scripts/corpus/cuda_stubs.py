"""Makes empty stand-ins for the CUDA libraries a PyTorch wheel links to, so that it runs on the CPU.

usage: cuda_stubs.py SITE_PACKAGES OUT

Every function answers 100, CUDA's "no device"; registration hooks run by loading answer 0.
"""

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path


def readelf(*args: str) -> str:
    return subprocess.run(["readelf", "-W", *args], check=True, capture_output=True, text=True).stdout


def main(site: Path, out: Path) -> None:
    libs = list((site / "torch" / "lib").glob("*.so*")) + list(site.glob("torchvision*/*.so*"))
    present = {lib.name for lib in libs}
    found = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True).stdout
    system = {line.split()[0] for line in found.splitlines()[1:] if line.split()}
    missing: set[str] = set()
    symbols: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    loose: set[str] = set()
    defined: set[str] = set()
    for lib in libs:
        needed = set(re.findall(r"\(NEEDED\).*\[(.+?)\]", readelf("-d", str(lib))))
        missing |= needed - present - system
        # Which file each needed version comes from.
        file_of, current = {}, ""
        for line in readelf("-V", str(lib)).splitlines():
            if m := re.search(r"Version: 1\s+File: (\S+)", line):
                current = m[1]
            elif m := re.search(r"Name: (\S+)\s+Flags", line):
                file_of[m[1]] = current
        for line in readelf("--dyn-syms", str(lib)).splitlines():
            parts = line.split()
            if len(parts) < 8:
                continue
            name = parts[7]
            base, _, version = name.partition("@")
            if parts[6] != "UND":
                defined.add(base)
            elif version:
                symbols[file_of.get(version.strip("@"), "")][version.strip("@")].add(base)
            elif parts[4] == "GLOBAL":
                loose.add(base)
    out.mkdir(parents=True, exist_ok=True)
    # Symbols without a version that nobody here defines: put them all into the first stub.
    loose = {s for s in loose - defined if re.match(r"(cu|nv|nccl)", s)}
    for i, soname in enumerate(sorted(missing)):
        versions = dict(symbols.get(soname, {}))
        names = set().union(*versions.values()) if versions else set()
        if i == 0:
            names |= loose
        source = out / f"{soname}.c"
        body = "".join(f"long {n}(void) {{ return {0 if n.startswith('__') else 100}; }}\n" for n in sorted(names))
        source.write_text(body or "int dlaplan_stub;\n")
        script = out / f"{soname}.map"
        script.write_text(
            "".join(f"{v} {{ global: {'; '.join(sorted(s))}; }};\n" for v, s in versions.items())
        )
        command = ["gcc", "-shared", "-fPIC", "-w", "-fno-builtin", f"-Wl,-soname,{soname}", "-o", str(out / soname), str(source)]
        if versions:
            command.append(f"-Wl,--version-script={script}")
        subprocess.run(command, check=True)
        source.unlink()
        script.unlink()
    print(f"{len(missing)} stubs in {out}: {' '.join(sorted(missing))}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

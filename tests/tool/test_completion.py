# SPDX-License-Identifier: GPL-2.0-or-later
"""What bash offers when Tab is pressed."""
import subprocess

from bench import ROOT, TOOL, Bench, test

# Fills in what bash would, asks the function, and prints its answers.
SCRIPT = """
. /usr/share/bash-completion/bash_completion
. {root}/tools/completion/srlock
PATH={path}:$PATH
compopt() {{ :; }}
_srlock_drives() {{ printf '%s\\n' sr0 sr1 /dev/sr0 /dev/sr1; }}
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
COMP_LINE="$*"
COMP_POINT=${{#COMP_LINE}}
_srlock
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def offered(*words: str) -> set[str]:
    script = SCRIPT.format(root=ROOT, path=TOOL.parent)
    result = subprocess.run(["bash", "-c", script, "bash", "srlock", *words], text=True, check=True,
                            capture_output=True)
    return set(result.stdout.split())


@test("completion: verbs")
def verbs(_: Bench) -> None:
    assert offered("w") == {"wait", "watch"}
    assert offered("") == {"list", "status", "run", "hold", "wait", "watch", "break", "help", "--help",
                           "--version"}


@test("completion: every verb's long options, and no others")
def options(b: Bench) -> None:
    for verb in ("list", "status", "run", "hold", "wait", "watch", "break"):
        text = b.run(verb, "--help").out.split("\nColumns:")[0]
        known = {word.rstrip(",") for word in text.split() if word.startswith("--")}
        assert offered(verb, "--") == known, verb


@test("completion: drives, also after a comma, and after options with an argument")
def drives(_: Bench) -> None:
    assert offered("status", "sr") == {"sr0", "sr1"}
    assert offered("run", "sr0,s") == {"sr0,sr0", "sr0,sr1"}
    assert offered("run", "-w", "5", "/dev/") == {"/dev/sr0", "/dev/sr1"}
    assert offered("run", "-w", "") == set()


@test("completion: columns, also after a comma")
def columns(_: Bench) -> None:
    assert offered("list", "-o", "PR") == {"PRIOR-OPENS", "PREVENTED"}
    assert offered("list", "-o", "NAME,MOU") == {"NAME,MOUNTPOINTS"}


@test("completion: the command of run and its own arguments")
def command(_: Bench) -> None:
    assert "umockdev-run" in offered("run", "sr0", "umockdev-r")
    assert "umockdev-run" in offered("run", "-n", "sr0", "--", "umockdev-r")
    assert offered("run", "sr0", "cat", "/etc/passw") >= {"/etc/passwd"}

"""The commands that every client sends, and whether what it got is what is wanted."""
import json
import pathlib

SCRIPT = json.loads((pathlib.Path(__file__).parent / "commands.json").read_text())
#: What connections do by the ways of their own library, or that end them; and copies of the server (test_backup.py).
ELSEWHERE = {"hello", "quit", "reset", "multi", "tl.watch", "bgsave", "checkpoint", "lastsave"}


def fits(got, wanted) -> bool:
    if isinstance(wanted, dict):
        if "error" in wanted:
            return isinstance(got, dict) and str(got.get("error", "")).startswith(wanted["error"])
        if "sorted" in wanted:
            return isinstance(got, list) and sorted(got) == wanted["sorted"]
        if "from" in wanted:
            return isinstance(got, int) and wanted["from"] <= got <= wanted["to"]
        kinds = {"string": str, "array": list, "any": (str, list, dict, int)}
        return isinstance(got, kinds[wanted["type"]]) and not (isinstance(got, dict) and "error" in got)
    if isinstance(wanted, list):
        return isinstance(got, list) and len(got) == len(wanted) and all(map(fits, got, wanted))
    return got == wanted


def check(client: str, replies: list) -> None:
    """`replies`: one for each of SCRIPT; an error as {"error": text}."""
    assert len(replies) == len(SCRIPT), f"{client}: {len(replies)} replies to {len(SCRIPT)} commands"
    for (command, wanted), got in zip(SCRIPT, replies):
        assert fits(got, wanted), f"{client}: {command} gave {got!r}, not {wanted!r}"


def check_all_named(names: list[str]) -> None:
    """Every command of the server is in the script."""
    said = set()
    for command, _ in SCRIPT:
        said.add(command[0].lower())
        said.add("|".join(word.lower() for word in command[:2]))
    missing = [name for name in names if name not in said | ELSEWHERE]
    assert not missing, f"commands.json lacks {missing}"

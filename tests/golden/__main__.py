"""``python -m tests.golden``: write ``expected/`` anew, and say what changed; read each change before it goes in."""

from __future__ import annotations

from typing import Any

import yaml

from tests.golden import EXPECTED, documents, made, names, rendered


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, nothing by reference."""

    def ignore_aliases(self, _: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def main() -> None:
    wanted = {}
    for name in names():
        text = yaml.dump(made(rendered(documents(name))), Dumper=_Dumper, width=120, sort_keys=False)
        wanted[EXPECTED / f"{name}.yaml"] = text
    for path in sorted({*EXPECTED.rglob("*.yaml"), *wanted}):
        before = path.read_text("utf-8") if path.exists() else None
        if path not in wanted:
            path.unlink()
        elif before != wanted[path]:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path], "utf-8")
        else:
            continue
        print(("removed" if path not in wanted else "changed" if before else "new"), path.relative_to(EXPECTED))


if __name__ == "__main__":
    main()

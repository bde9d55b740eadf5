"""Help and confirmations in Chinese: the language, the rendered help, and plugins' catalogues."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from rich.cells import cell_len

from muniment import language
from muniment.cli import translation
from muniment.cli.context import CliContext
from muniment.cli.help_language import translated
from muniment.cli.options import confirm
from muniment.cli.root import root
from muniment.cli.translated_help import translated_copy
from muniment.cli.wide_formatter import WideFormatter
from muniment.command import Translations
from muniment.errors import UsageError
from muniment.line_breaking import wrap
from muniment.moments import parse_moment
from muniment.testing.translations.catalogue import mistakes, update
from muniment.testing.translations.texts import texts
from support.commands import Here
from support.plugins import PluginFolder

_VARIABLES = ("MUNIMENT_LANG", "LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")


@pytest.fixture
def chinese(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Chinese as the language on a wide terminal, with no catalogue read yet."""
    monkeypatch.setenv("MUNIMENT_LANG", "zh")
    monkeypatch.setenv("COLUMNS", "80")
    translation._catalogue.cache_clear()
    yield
    translation._catalogue.cache_clear()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_TW.UTF-8"}, "zh"),
        ({"LANG": "zh"}, "zh"),
        ({"LANG": "C", "LANGUAGE": "zh"}, "en"),
        ({"LANG": "POSIX"}, "en"),
        ({"LANG": "fr_FR.UTF-8", "LANGUAGE": "fr:zh_CN:en"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_MESSAGES": "en_US.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "LC_MESSAGES": "zh_HK.UTF-8", "LC_ALL": "C.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "zh_HK.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "MUNIMENT_LANG": "en"}, "en"),
        ({"LC_ALL": "C", "MUNIMENT_LANG": "zh_CN"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "MUNIMENT_LANG": "fr"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "MUNIMENT_LANG": ""}, "zh"),
    ],
)
def test_language_follows_the_variable_and_then_the_locale(
    environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert language.language() == expected


@pytest.mark.parametrize(
    ("encoding", "expected"), [("utf-8", "zh"), ("gbk", "zh"), ("ascii", "en"), ("big5", "en")]
)
def test_language_is_english_where_the_output_cannot_encode_chinese(
    encoding: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUNIMENT_LANG", "zh")
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    assert language.language() == expected


@pytest.mark.parametrize(("language", "imported"), [("en", "False"), ("zh", "True")])
def test_modules_for_chinese_are_imported_in_chinese_only(
    language: str, imported: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUNIMENT_LANG", language)
    program = (
        "import sys; from muniment.cli import main; main(['--help']); "
        "print('muniment.cli.wide_formatter' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8")
    assert done.stdout.splitlines()[-1] == imported, done.stderr


# ---- every command's help -----------------------------------------------------------------------


def _helps() -> list[str]:
    """Return the rendered help of every command and of every generator."""
    command = translated(root)
    settings = command.context_settings
    context = click.Context(command, info_name="muniment", obj=CliContext(), **settings)
    helps = list(_helps_below(context))
    context.obj.close()
    return helps


def _helps_below(context: click.Context) -> Iterator[str]:
    command = context.command
    yield command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from _helps_below(click.Context(below, info_name=name, parent=context))


# Names, and what a program prints in English.
_NAMES = re.compile(
    r"`[^`]*`|\"[^\"]*\"|'[^']*'|\[[^\]]*\]|\{[^}]*\}|--?[\w-]+|\S*[/.=_]\S*|"
    r"JSON Lines|ENUMERATION|uv tool upgrade|score:NAME"
)
_ENGLISH = re.compile(r"\b[A-Za-z][a-z]+(?:,? [a-z]{2,}){2,}")


@pytest.fixture(scope="module", params=[80, 40])
def rendered(request: pytest.FixtureRequest) -> tuple[int, list[str]]:
    """A number of columns, and the help of every command in Chinese."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MUNIMENT_LANG", "zh")
        patch.setenv("COLUMNS", str(request.param))
        translation._catalogue.cache_clear()
        return request.param, _helps()


def test_help_of_every_command_contains_no_english_sentence(
    rendered: tuple[int, list[str]],
) -> None:
    _, helps = rendered
    assert len(helps) > 90
    for text in helps:
        assert text.startswith("用法：muniment")
        assert "显示本帮助并退出。" in text
        _, _, body = text.partition("\n\n")
        sentences = _ENGLISH.findall(_NAMES.sub("", " ".join(body.split())))
        assert not sentences, (sentences, text)
        assert not re.search(r"\b(INTEGER|FLOAT|RANGE)\b", text), text  # click's names of types
        assert not re.search(r"OPTIONS|ARGS|\d<=x<=|x>=", text), text


@pytest.mark.parametrize(("option", "chinese"), [(None, True), ("--json", False)])
def test_meanings_of_settings_are_chinese_except_in_json(
    option: str | None, chinese: bool, monkeypatch: pytest.MonkeyPatch, muniment: Here
) -> None:
    monkeypatch.setenv("MUNIMENT_LANG", "zh")
    done = muniment("config", "list", "--known", *filter(None, [option]))
    assert ("策略" in done.out) is chinese


def test_help_of_every_command_fits_the_terminal(rendered: tuple[int, list[str]]) -> None:
    columns, helps = rendered
    for text in helps:
        for line in text.splitlines():
            is_declaration = re.fullmatch(r" +-[^\u4e00-\u9fff]*", line)
            assert is_declaration or cell_len(line) <= columns - 2, (line, text)
            # GB/T 15834: no line begins with a closing mark, and none ends with an opening one.
            assert line.lstrip()[:1] not in "。，、；：？！）》”" or not line.strip(), text
            assert line[-1:] not in ("（", "《", "“"), text


def test_help_of_every_command_aligns_its_columns(rendered: tuple[int, list[str]]) -> None:
    _, helps = rendered
    for text in helps:
        options = text.partition("选项：\n")[2].partition("\n\n")[0].splitlines()
        starts = set()
        for line in options:
            if match := re.match(r"( {2}-.*?\S {2,}| {10,})(?=\S)", line):
                starts.add(cell_len(match[0]))
        assert len(starts) == 1, text


def test_help_of_since_names_the_chinese_periods_that_are_accepted(
    rendered: tuple[int, list[str]],
) -> None:
    (text,) = (text for text in rendered[1] if text.startswith("用法：muniment audit list"))
    joined = "".join(text.split())
    names = re.search(r"，或((?:[\u4e00-\u9fff]+、)+[\u4e00-\u9fff]+)。没有时区", joined)
    assert names is not None, text
    for name in names[1].split("、"):
        assert parse_moment(name) < parse_moment(name, end=True)


# ---- wrapping -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("生成文本", 8, ["生成文本"]),
        ("生成文本", 6, ["生成文", "本"]),
        ("生成文本。", 8, ["生成文", "本。"]),  # no line begins with a full stop
        ("生成（文本）", 8, ["生成（文", "本）"]),
        ("生成（文本）", 6, ["生成", "（文", "本）"]),  # none ends with an opening bracket
        ("用 --seed 生成", 9, ["用 --seed", "生成"]),
        ("abc def", 5, ["abc", "def"]),
        ("abcdefgh", 5, ["abcde", "fgh"]),
        ("abcdef。", 6, ["abcde", "f。"]),
        ("cafe\u0301 cafe\u0301", 9, ["cafe\u0301 cafe\u0301"]),
    ],
)
def test_wrap_breaks_chinese_by_cell_len(text: str, width: int, lines: list[str]) -> None:
    assert wrap(text, width) == lines


def test_formatter_aligns_terms_that_contain_wide_characters() -> None:
    formatter = WideFormatter(width=30)
    formatter.write_dl([("心形", "意思"), ("heart", "meaning"), ("空", "")])
    assert formatter.getvalue() == "心形   意思\nheart  meaning\n空\n"


def test_formatter_keeps_the_lines_of_an_unwrapped_paragraph() -> None:
    formatter = WideFormatter(width=30)
    formatter.write_text("一段\n\n\b\n甲  1\n乙  2")
    assert formatter.getvalue() == "一段\n\n甲  1\n乙  2\n"


# ---- what is translated -------------------------------------------------------------------------


@pytest.mark.usefixtures("chinese")
def test_facts_about_an_option_are_translated_and_values_are_not() -> None:
    @click.command
    @click.option("--one", default="a, b", show_default=True, help="One.")
    @click.option("--two", type=click.IntRange(1, 9), default=3, show_default=True, help="Two.")
    @click.option("--three", required=True, help="Three  [at least 0, default: 1]")
    @click.option("--four", type=click.FloatRange(0, 1, min_open=True), required=True)
    def command() -> None:
        """Do it."""

    copied = translated_copy(command, "no-such-distribution")
    text = copied.get_help(click.Context(copied, info_name="x", **root.context_settings))
    text = " ".join(text.split())
    assert "[默认值：a, b]" in text
    assert "[默认值：3，1 至 9]" in text
    assert "[大于 0 且不大于 1，必填]" in text
    assert "[不小于 0，默认值：1]" in text
    assert "[必填]" in text
    assert "Do it." in text  # no catalogue has it
    assert "Show this message" in command.get_help(
        click.Context(command, **root.context_settings)
    )  # is unchanged


def _action() -> str:
    template = language.ngettext(
        "the texts of {number} generation", "the texts of {number} generations", 3
    )
    return language.gettext("erase {texts}").format(texts=template.format(number=3))


def _answer(monkeypatch: pytest.MonkeyPatch, lines: str, *, yes: bool = False) -> bool:
    """Confirm an action at a terminal on which the user types lines."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    return confirm(_action(), yes=yes, otherwise=language.gettext("nothing was erased"))


@pytest.mark.usefixtures("chinese")
def test_confirmation_is_asked_in_chinese(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not _answer(monkeypatch, "n\n")
    question, _, answer = capsys.readouterr().err.partition("[y/N]")
    assert question == "这将擦除 3 次生成的文本。是否继续？ "
    assert "未擦除任何内容" in answer


@pytest.mark.usefixtures("chinese")
def test_confirmation_by_option_is_noted_in_chinese(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _answer(monkeypatch, "", yes=True)
    assert capsys.readouterr().err == "已用 --yes 确认：擦除 3 次生成的文本\n"


@pytest.mark.usefixtures("chinese")
@pytest.mark.parametrize(
    ("typed", "expected"),
    [("是", True), ("否", False), ("Y", True), (" yes ", True), ("no", False), ("", False)],
)
def test_confirmation_accepts_answers_in_both_languages(
    typed: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _answer(monkeypatch, f"{typed}\n") is expected


@pytest.mark.parametrize(
    ("language", "typed", "hint"),
    [("zh", "好", "请回答"), ("en", "是", "Answer yes (y) or no (n).")],
)
def test_confirmation_repeats_the_question_after_another_answer(
    language: str,
    typed: str,
    hint: str,
    chinese: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MUNIMENT_LANG", language)
    assert _answer(monkeypatch, f"{typed}\ny\n")
    first, question, second = capsys.readouterr().err.partition(hint)
    assert question
    assert "[y/N]" in first
    assert "[y/N]" in second


@pytest.mark.usefixtures("chinese")
def test_confirmation_without_a_terminal_is_an_error_in_english(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(click.UsageError) as caught:
        confirm(_action(), yes=False, otherwise="")
    assert caught.value.message.isascii()
    assert "erase the texts of 3 generations; use --yes" in caught.value.message


@pytest.mark.usefixtures("chinese")
def test_text_keeps_its_english_form_when_it_is_combined() -> None:
    names = language.gettext(" and ").join([language.gettext("yes"), "x"])
    text = language.gettext("erase {texts}").format(texts=names) + language.gettext("no")
    assert language.english_of(text) == "erase yes and xno"
    assert text.startswith("擦除")
    assert language.english_of(3) == 3


@pytest.mark.parametrize(
    ("text", "translated", "number"),
    [
        ("Use {name} with --all or `muniment x`.", "用 `muniment x` 或 --all 使用 {name}。", 0),
        ("Use {name}.", "使用 {nom}。", 2),
        ("Use --all.", "使用 --al。", 2),
        ("Run `muniment x`.", "运行 muniment x。", 1),
        ("FILE is JSON.", "文件是 JSON。", 1),
    ],
)
def test_mistakes_finds_parts_that_a_translation_changes(
    text: str, translated: str, number: int
) -> None:
    assert len(mistakes(text, translated)) == number


# ---- plugins ------------------------------------------------------------------------------------

GREETINGS = """
    import click
    from muniment.command import Translations

    texts = Translations("test-greetings")

    @click.group
    def greetings():
        '''Greet people.

        Twice, if
        they like it.
        '''

    @greetings.command
    @click.option("--name", help="Name of the person.")
    def hello(name):
        '''Say hello.'''
        click.echo(texts.gettext("hello {name}").format(name=name))
"""

TRANSLATED = {
    "Greetings.": "问候。",
    "Greet people.": "问候他人。",
    "Twice, if they like it.": "如果喜欢，问候两次。",
    "Say hello.": "说你好。",
    "Name of the person.": "对方的姓名。",
    "hello {name}": "{name}，你好",
    "How often to say it": "次数",
}


@pytest.fixture
def greetings(plugin_folder: PluginFolder, muniment: Here, chinese: None) -> Path:
    """A plugin with commands and a catalogue; returns its package's folder."""
    plugin = plugin_folder.add(GREETINGS, distribution="test-greetings", group="muniment.commands")
    info = plugin_folder.folder / f"{plugin.module}-1.0.dist-info"
    (info / "entry_points.txt").write_text(
        f"[muniment.commands]\ngreetings = {plugin.module}:greetings\n"
    )
    metadata = (info / "METADATA").read_text()
    (info / "METADATA").write_text(f"{metadata}Summary: Greetings.\n")
    package = plugin_folder.folder / plugin.module
    write_catalogue(package, "test-greetings")
    return package


def write_catalogue(package: Path, distribution: str) -> None:
    catalogue = Catalog("zh", fuzzy=False)
    for text, chinese in TRANSLATED.items():
        catalogue.add(text, chinese)
    file = package / "locale" / "zh" / "LC_MESSAGES" / f"{distribution}.mo"
    file.parent.mkdir(parents=True)
    with file.open("wb") as stream:
        write_mo(stream, catalogue)


def test_commands_of_a_plugin_are_translated_by_its_catalogue(
    greetings: Path, muniment: Here
) -> None:
    assert "greetings 问候。" in " ".join(muniment("--help").out.split())
    assert greetings.name not in sys.modules  # the help above needs metadata only
    group = muniment("greetings", "--help").out
    assert "  问候他人。\n\n  如果喜欢，问候两次。\n" in group
    assert "hello  说你好。" in group
    assert "--name TEXT  对方的姓名。" in muniment("greetings", "hello", "--help").out
    assert muniment("greetings", "hello", "--name", "小明").out == "小明，你好\n"


def test_update_collects_the_texts_and_keeps_translations(greetings: Path, muniment: Here) -> None:
    file, missing = update("test-greetings")
    assert set(missing) == TRANSLATED.keys() - {"How often to say it"}
    source = file.read_text(encoding="utf-8")
    file.write_text(
        source.replace('"Say hello."\nmsgstr ""', '"Say hello."\nmsgstr "说你好。"'),
        encoding="utf-8",
    )
    assert "Say hello." not in update("test-greetings")[1]
    assert "说你好。" in muniment("greetings", "hello", "--help").out
    code = (greetings / "__init__.py").read_text(encoding="utf-8")
    (greetings / "__init__.py").write_text(code.replace("hello {name}", "hello, {name}"))
    assert "hello, {name}" in update("test-greetings")[1]
    assert "说你好。" in file.read_text(encoding="utf-8")


def test_the_options_of_generators_are_collected_for_each_command_that_has_them() -> None:
    places = {place.rpartition(" ")[0] for place in texts("muniment").values()}
    assert {"muniment generate NAME", "muniment shell NAME"} <= places


def test_update_of_a_distribution_without_a_package_raises_usage_error() -> None:
    with pytest.raises(UsageError, match="no-such-distribution"):
        update("no-such-distribution")


def test_damaged_catalogue_of_a_plugin_leaves_its_help_in_english(
    greetings: Path, muniment: Here
) -> None:
    (greetings / "locale/zh/LC_MESSAGES/test-greetings.mo").write_bytes(b"\xde\x12\x04\x95junk")
    result = muniment("greetings", "hello", "--help")
    assert result.code == 0
    assert "Name of the person." in result.out
    assert "显示本帮助并退出。" in result.out


@pytest.mark.usefixtures("chinese")
def test_parameters_of_a_generator_are_translated_by_its_catalogue(
    plugin_folder: PluginFolder, muniment: Here
) -> None:
    write_catalogue(plugin_folder.folder / plugin_folder.all[0].module, "test-echo")
    text = " ".join(muniment("generate", "echo", "--help").out.split())
    assert "用 echo 生成 text/plain，来自 test-echo 1.0。" in text
    assert "--times N 次数 [1 至 10，默认值：1]" in text
    assert "--seed N 0 至 2^64-1；省略时随机。" in text


def test_english_is_unchanged(muniment: Here) -> None:
    text = muniment("generate", "echo", "--help").out
    assert "Generate text/plain with echo (test-echo 1.0)." in text
    assert Translations("test-echo").ngettext("one", "many", 2) == "many"

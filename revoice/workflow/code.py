"""Digests of code: what a rule's output is computed with, read as a syntax tree.

Rules carry them in `params`, so that an edit reruns what it can change. Comments, docstrings,
formatting and annotations of functions and variables change nothing; those in class bodies do
count, since pydantic and dataclasses read them.
"""

import ast
import hashlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from revoice.files import PACKAGE

# The modules that can change what a script writes. A test compares them with what it reaches. What
# was fetched or chosen once stays: those rules have no list.
MODEL = "model model.checkpoint model.aligner model.dropout model.durations model.rows "
MODEL += "model.sounds model.valle"
TEXT = "text text.cuts text.english text.espeak text.japanese text.mandarin text.tokens text.vallex"
TEXT += " text/mandarin.json text/vallex_symbols.json"
READS = {
    "fetch_corpus": "corpus.asterisk corpus/voices.json",
    "resample": "corpus.audio corpus.naming",
    "write_sentences": "evaluation.normalize packages synthetic.packages synthetic.parts "
    "synthetic.plan synthetic.templates synthetic.texts evaluation/english.json",
    "speak": "corpus.audio corpus.naming evaluation.normalize evaluation.recognizers "
    "synthetic.hearing synthetic.names synthetic.parts synthetic.speak synthetic.voices "
    "evaluation/english.json",
    "describe_voices": "synthetic.names synthetic.record",
    "manifests": "corpus.files corpus.manifests corpus.naming corpus.ondisk corpus.shards "
    "corpus.split corpus.table corpus.transcripts",
    "segment": "corpus.audio corpus.files corpus.naming recordings.cuts recordings.segments "
    "recordings.subtitles",
    "transcribe": "codec.cuts corpus.files corpus.transcripts evaluation.normalize "
    "evaluation.recognizers recordings.given recordings.heard recordings.judge "
    "recordings.transcribe "
    "evaluation/english.json",
    "assess": "codec.cuts corpus.audio evaluation.measures evaluation.recognizers "
    "recordings.assess",
    "diarize": "corpus.files recordings.diarize",
    "filter": "corpus.files corpus.naming recordings.cuts recordings.judge recordings.labels "
    "recordings.select",
    "check_kept": "corpus.naming recordings.judge recordings.labels recordings.manifests",
    "collect": "corpus.files corpus.manifests corpus.naming corpus.ondisk corpus.shards "
    "corpus.split corpus.transcripts recordings.judge recordings.labels recordings.manifests",
    "proofread": "html recordings.manifests recordings.page recordings/templates/labels.html.j2",
    "fit_codec": "codec.cuts codec.files",
    "encode": "codec.cuts codec.files codec.identity",
    "tokenize_text": f"corpus.split {TEXT}",
    "import_checkpoint": f"{MODEL} model.pretrained text text.tokens text.vallex "
    "text/vallex_symbols.json",
    "export_checkpoint": f"{MODEL} model.pretrained",
    "assemble": f"codec.identity {MODEL}",
    "pack": f"{MODEL} model.pack",
    "check_limits": "training.limits",
    "select_cuts": "codec.identity model.aligner training.align training.examples "
    "training.limits training.mixing",
    "train": f"codec.files codec.identity {MODEL} model.finetune model.losses model.precision "
    "text.framing "
    "training.compiling training.data training.distributed training.examples training.job "
    "training.launch training.metrics training.mixing training.objective training.optim "
    "training.setup training.state training.train",
    "evaluate": f"codec.identity {MODEL} model.finetune model.losses model.precision text.framing "
    "training.data training.objective evaluation.evaluate evaluation.trained",
    "synthesize": f"codec.files codec.identity {MODEL} model.drawing model.generate "
    f"model.eights model.precision model.prompts model.stepping {TEXT} "
    "text.framing corpus.naming evaluation.sentences evaluation.trained",
    "voices": "codec.identity evaluation.measures evaluation.recognizers evaluation.trained "
    f"{MODEL} model.prompts speaking.voices {TEXT}",
    "tell": "codec.choice codec.files codec.identity config_file "
    "evaluation.normalize evaluation.recognizers evaluation.scoring evaluation.trained "
    f"{MODEL} model.drawing model.eights model.generate model.precision model.prompts "
    "model.stepping speaking.languages speaking.pieces speaking.sentences speaking.sound "
    f"speaking.talker speaking.telling speaking.voices speaking.writing {TEXT} text.framing "
    "evaluation/english.json",
    "bind": "speaking.writing",
    "score": "evaluation.measures evaluation.normalize evaluation.recognizers evaluation.scoring "
    "evaluation/english.json",
    "tabulate": "evaluation.scoring report.scores report.tables report/notes.json",
    "summarize": "html evaluation.scoring report.curves report.page report.scores report.tables "
    "report/notes.json report/templates/curves.mplstyle report/templates/index.html.j2",
}
# Those of a codec, or a decoder, count where it is used.
CODECS = {
    "encodec_24khz": "codec.encodec codec.search",
    "world": "codec.channel codec.world codec.search",
    "vocos": "codec.vocos codec.vocos_files",
}

Digest = Callable[[Any], str]


def code_of(scripts: Path, script: str) -> Digest:
    """For a rule's `params`: a function of wildcards that gives the digest of all its code.

    Args:
        scripts: the folder of the scripts, which the library does not bring along.
    """

    @cache  # once, however many jobs the rule has
    def digest() -> str:
        path = scripts / f"{script}.py"
        return _joined([digest_of(*READS[script].split()), _digest(path)])

    return lambda wildcards: digest()


def codec_code(kind: str, fallback: str | None, made: dict[str, Any] | None) -> dict[str, str]:
    """Digests of the codecs that may be behind a name of the configuration.

    Args:
        made: what the codec's settings.json holds: which kind it became, and the digests then.
            Those of the kind that is not in use stay what they were.
    """
    now = {
        name: digest_of(*CODECS[name].split())
        for name in dict.fromkeys([kind, *([fallback] if fallback else [])])
    }
    then = made["code"] if made else {}
    return {k: v if not made or k == made["name"] else then.get(k, v) for k, v in now.items()}


def digest_of(*modules: str) -> str:
    """Digest of modules of the library, `codec.world`, and of its data, `text/vallex_symbols.json`.

    Of a package it is that of its `__init__`.

    Raises ModuleNotFoundError for a name that does not exist.
    """
    return _joined([f"{module} {_digest(_source(module))}" for module in sorted(set(modules))])


def _joined(digests: list[str]) -> str:
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()[:16]


def _source(module: str) -> Path:
    path = PACKAGE / (module if "/" in module else module.replace(".", "/"))
    for candidate in (path, path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    raise ModuleNotFoundError(f"{module} is nothing in revoice", name=module)


@cache
def _digest(path: Path) -> str:
    content = path.read_bytes()
    if path.suffix == ".py":
        content = meaning(content.decode()).encode()
    return hashlib.sha256(content).hexdigest()


def meaning(source: str) -> str:
    """A text that is the same for two sources that do the same, under every version of Python."""
    tree = Bare().visit(ast.parse(source))
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    imports, rest = [], []
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):  # in any order, and those alone that code uses
            imports += [
                f"{node.level} {node.module} {alias.name} {alias.asname}"
                for alias in node.names
                if (alias.asname or alias.name) in used
            ]
        elif isinstance(node, ast.Import):
            imports += [f"{alias.name} {alias.asname}" for alias in node.names]
        else:
            rest.append(node)
    return "\n".join([*sorted(imports), *("".join(_written(node)) for node in rest)])


class Bare(ast.NodeTransformer):
    """Takes docstrings and annotations away, those in class bodies excepted."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        for argument in ast.walk(node.args):
            if isinstance(argument, ast.arg):
                argument.annotation = None
        return self.generic_visit(node)

    visit_AsyncFunctionDef = visit_FunctionDef  # type: ignore[assignment]

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        annotated = {id(child) for child in node.body if isinstance(child, ast.AnnAssign)}
        node.body = [
            child if id(child) in annotated else self.visit(child)
            for child in node.body
            if not _is_text(child)
        ]
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if node.value is None:
            return None
        plain = ast.Assign(targets=[node.target], value=node.value)
        return self.generic_visit(ast.copy_location(plain, node))

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if _is_text(node) else self.generic_visit(node)


def _is_text(node: ast.AST) -> bool:
    """Whether a statement is a string and nothing else: a docstring."""
    value = getattr(node, "value", None) if isinstance(node, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


# Fields that say nothing, or not in every version.
SILENT = {"ctx", "kind", "type_comment", "type_params", "lineno", "simple"}


def _written(node: Any) -> Iterator[str]:
    """A node and all below it; what is empty is left out, as versions differ in it."""
    if isinstance(node, ast.AST):
        yield f"({type(node).__name__}"
        for name, value in ast.iter_fields(node):
            if name not in SILENT and value is not None and value != []:
                yield f" {name}="
                yield from _written(value)
        yield ")"
    elif isinstance(node, list):
        yield f"[{','.join(''.join(_written(each)) for each in node)}]"
    else:
        yield repr(node)

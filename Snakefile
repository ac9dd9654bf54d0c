"""From recordings of people speaking to a trained VALL-E voice, and its measures."""

from snakemake.utils import min_version

from revoice.config_file import check_encoding

min_version("9.0")


# A configuration given on the command line stands in place of the default one, whole.
if not workflow.config_settings.configfiles:

    try:
        check_encoding("config.yaml")
    except ValueError as error:
        raise WorkflowError(str(error))

    configfile: "config.yaml"


report: "report/workflow.rst"


include: "rules/common.smk"
include: "rules/corpus.smk"
include: "rules/synthetic.smk"
include: "rules/recordings.smk"
include: "rules/codec.smk"
include: "rules/text.smk"
include: "rules/model.smk"
include: "rules/training.smk"
include: "rules/evaluation.smk"
include: "rules/speaking.smk"
include: "rules/report.smk"


rule all:
    default_target: True
    input:
        "results/index.html",
        "results/summary.md",
        expand("results/{experiment}/table.md", experiment=CONFIG.experiments),
        expand("results/{experiment}/voices", experiment=CONFIG.experiments),
        expand("results/corpora/{corpus}/record.json", corpus=SYNTHETIC),
        expand("results/corpora/{corpus}/labels.html", corpus=RECORDED),

from click.testing import CliRunner

from spt_explain.cli.relevance.evaluate import command


def test_help_names_defaults_and_an_example():
    told = CliRunner().invoke(command, ["--help"])
    assert told.exit_code == 0
    for text in ("--yardstick", "--published", "relevance.evaluation]", "Examples"):
        assert text in told.output


def test_a_model_is_needed(tmp_path):
    told = CliRunner().invoke(command, [str(tmp_path)])
    assert told.exit_code == 2
    assert "--model" in told.output

from midfill.engine.errors import CheckpointError


def test_the_message_names_the_thing_what_was_wanted_and_what_came() -> None:
    assert str(CheckpointError("a/config.json", "JSON", 3)) == "a/config.json: wanted JSON, got 3"

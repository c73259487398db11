from midfill.server.ghost import Ghost, Surroundings, ghost


def test_a_doubled_closing_bracket_is_cut():
    around = Surroundings("print(", ")", [], [], "\n", None)
    assert ghost("total)", around) == Ghost("total", 0, 0)

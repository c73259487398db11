from midfill.engine.schema.stand_ins import StandIns


def test_every_place_that_a_reference_leads_to_is_there_and_empty():
    stand_ins = StandIns([{"anyOf": [{"$ref": "a.json#/definitions/x~1y"}, {"$ref": "b.json#name"}]}, True])
    assert stand_ins("http://example.com/a.json") == {"definitions": {"x/y": {}}}
    assert stand_ins.missing == {"http://example.com/a.json"}


def test_what_a_schema_says_of_itself_is_not_missing():
    assert StandIns([{"$ref": "#/definitions/x"}])("a.json") == {}


def test_schemas_nested_deeply_are_read():
    schema: dict[str, object] = {"$ref": "a.json#/b"}
    for _ in range(50_000):
        schema = {"items": schema}
    assert StandIns([schema])("a.json") == {"b": {}}

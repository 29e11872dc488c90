

@pytest.mark.parametrize("one", stacks(), ids=lambda one: one.id)
def test_variables_are_named_and_sourced(one: Stack) -> None:
    assert not one.visible or (re.fullmatch(r"[A-Z_]+", one.visible) and one.visible_source.strip())
    names = [variable.name for variable in one.variables]
    assert len(names) == len(set(names))
    assert one.visible not in names
    for variable in one.variables:
        assert re.fullmatch(r"[A-Z_]+", variable.name)
        assert variable.value
        assert variable.source.strip()
        assert set(variable.engines) <= set(one.engines)

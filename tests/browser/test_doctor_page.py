"""`%stream doctor` on a page: it is tried, and seen."""

from lab import wait_for


def test_doctor_on_a_page(notebook):
    """The page paints while the cell runs, a fresh view paints all, and the file is read: every line is ok."""
    tab = notebook("%%stream -p max_tokens=5 -p tokens_per_s=0\nhi", "%stream doctor")
    tab.run(1, wait=True)
    tab.wait_stream("the answer", lambda view: view["state"] == "complete")
    tab.save()
    tab.run(2, wait=True)
    said = wait_for("the doctor", lambda: "file  " in tab.visible(2) and tab.visible(2))
    lines = {line.split()[1]: line for line in said.splitlines() if line.strip()}
    print(said)
    assert {line.split()[0] for line in lines.values()} == {"ok"}
    assert "a page of JupyterLab or Notebook 7" in lines["host"]
    assert "Jupyter server 2." in lines["server"]
    assert "tried: the page asked and painted within" in said
    assert "tried: a fresh view asked for everything" in lines["reload"]
    assert "holds an answer in 1 of its 1 %%stream cells" in lines["file"]
    assert tab.errors == []
    # What was shown for the trial is gone from the output.
    assert tab.page.locator(".nbstream").count() == 1

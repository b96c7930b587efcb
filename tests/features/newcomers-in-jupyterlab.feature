@jupyterlab
Feature: Three newcomers in JupyterLab
  Each comes from `assistants init` to what they want, by clicking, in a real JupyterLab and a real browser.

  Scenario: A teacher gets a class's comparison as a page
    Given a project made from the template "classroom" for the models "vllm:small"
    And a pupil's persona "gardener"
    When I open its notebook, and run all of it
    Then every cell has run, and all that it shows looks whole
    And the answers of "none, gardener, poet, sceptic, scientist" stand side by side
    When I click on "report.html"
    Then a page opens with the answers of "none, gardener, poet, sceptic, scientist"
    And the file alone shows the same in any browser, and fetches nothing
    When the server is gone, and a pupil runs a copy of the folder without its results
    Then every cell has run, and all that it shows looks whole
    And the pupil sees the same answers

  Scenario: A prompt engineer asks ten questions on two models
    Given a project made from the template "benchmark" for the models "vllm:small, vllm:large"
    When I open its notebook, and run all of it
    Then every cell has run, and all that it shows looks whole
    And of 10 questions "vllm:small" has 0.2 right, and "vllm:large" 1.0, whatever the persona
    And it says in words that "vllm:large" is 80 percentage points higher than "vllm:small"
    And the numbers below it have the verdict "more" for each persona

  Scenario: A researcher takes a figure and a table into a paper
    Given a project made from the template "compare" for the models "vllm:small"
    When I open its notebook, and run all of it
    Then every cell has run, and all that it shows looks whole
    And there is a figure "effects.pdf" to include
    And a LaTeX table has the effects of "brief, teacher", as `assistants effects` has them

Feature: Is the difference real?
  An answer is scored when it is there, judged by a model that does not know who gave it, and
  compared with what any prompt would have done.

  Scenario: Scored, judged and controlled in one run
    Given a server
    And an experiment of 3 questions that is scored, judged and controlled
    When I run it
    Then the exit code is 0
    And it says "making 2 control texts"
    And the file "exp.controls.yaml" says "In other words:"
    When I ask for the effects of "words"
    Then it says "too little data"
    And it says "having a prompt"
    And it says "none.same"
    When I ask for the effects of "judge"
    Then it says "All paired scores are equal"
    When I run it again
    Then the exit code is 0
    And it says "nothing to ask"
    And nothing was asked

  Scenario: What judging would cost is said before
    Given a server
    And an experiment of 3 questions that is scored, judged and controlled
    When I run it with "--dry-run"
    Then the exit code is 0
    And it says "of them for judges"
    And nothing was asked

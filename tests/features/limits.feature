Feature: A limit stops a run
  Nobody pays more than they meant to.

  Scenario: A cap on tokens
    Given a server
    And an experiment with 30 trials, four at a time
    When I run it with "--limit-tokens 100"
    Then the exit code is 3
    And it says how many trials are left
    When I run it again
    Then the exit code is 0
    And exactly the rest was asked
    And every trial is answered

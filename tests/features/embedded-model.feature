Feature: A real experiment with no key, no GPU and no network
  The model that comes with the install answers one question under two personas.

  Scenario: Different personas give different answers, and nothing is asked twice
    Given an experiment with the personas "none, art" on the embedded model
    When I run it, with its report
    Then the exit code is 0
    And every trial is answered
    And the personas gave different answers
    And there is a report to look at
    When I run it again
    Then the exit code is 0
    And it says "nothing to ask"
    And the answers are the same as before

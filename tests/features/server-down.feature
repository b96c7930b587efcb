Feature: A server that is down
  A failure is written down with its reason, and is never taken for an answer.

  Scenario: The failures are on record, and only they are asked later
    Given a server
    And an experiment with 4 trials, four at a time
    And its personas have answered already, but for "art"
    When the server goes down
    And I run it
    Then the exit code is 1
    And 2 trials are failures, each with its reason
    And it says "Run the same command again"
    When the server is up again
    And I run it again
    Then the exit code is 0
    And 2 questions were asked
    And every trial is answered

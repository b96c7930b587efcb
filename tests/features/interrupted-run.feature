Feature: A run that was interrupted goes on where it stopped
  What was answered is paid for, so it is kept, however the run ended.

  Scenario: Ctrl-C in the middle
    Given a server that takes 0.3 seconds for an answer
    And an experiment with 30 trials, four at a time
    When I start it, and press Ctrl-C when some are answered
    Then the exit code is 130
    And it says "Every complete answer is kept"
    And every answer that came is kept
    When I run it again
    Then the exit code is 0
    And exactly the rest was asked
    And every trial is answered

  Scenario: The process is killed
    Given a server that takes 0.3 seconds for an answer
    And an experiment with 30 trials, four at a time
    When I start it, and kill it when some are answered
    Then every answer that came is kept
    When I run it again
    Then the exit code is 0
    And exactly the rest was asked
    And every trial is answered

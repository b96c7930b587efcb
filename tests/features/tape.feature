Feature: A tape
  A class of thirty runs the same experiment without a key, a server or a network.

  Scenario: Recorded once, replayed with the server gone
    Given a server
    And an experiment with 4 trials, four at a time
    When I run it with "--tape lesson.jsonl"
    Then the exit code is 0
    When the server goes down
    And I run it with "--tape lesson.jsonl --results elsewhere"
    Then the exit code is 0
    And the table in "elsewhere" is the same

  Scenario: A question that was never recorded
    Given a server
    And an experiment with 4 trials, four at a time
    When I run it with "--tape lesson.jsonl"
    And I add a case to it
    And I run it with "--tape lesson.jsonl"
    Then the exit code is 1
    And it says "lesson.jsonl has no answer to 'One more?'"
    And nothing was asked

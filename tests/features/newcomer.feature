Feature: A project of one's own
  Somebody who has installed the package, and nothing else, comes to a report.

  Scenario: From nothing to a report
    When I type "assistants init demo"
    Then the exit code is 0
    And it says "cd demo"
    When I go to "demo"
    And I type "assistants run experiment.yaml -m echo --cases 2"
    Then the exit code is 0
    And it says "6 ok"
    When I type "assistants view --no-open"
    Then the exit code is 0
    And it names a report, which is there

Feature: Before a model is switched off
  Somebody whose model ends in two weeks learns what the next one would change, without paying
  again for what the old one has answered.

  Scenario: Only the new model is asked, and each persona and scorer gets a verdict
    Given a server
    And an experiment of 12 questions on the model "old", scored by words
    When I run it
    Then the exit code is 0
    When I migrate it from "vllm:old" to "vllm:wordy"
    Then the exit code is 0
    And it says "24 answered already, 24 to ask"
    And 24 questions were asked
    And it says "vllm:wordy in place of vllm:old: 2 more."
    And there is a page about the migration
    When I migrate it from "vllm:old" to "vllm:wordy"
    Then it says "nothing to ask"
    And nothing was asked

  Scenario: A model that answers alike
    Given a server
    And an experiment of 12 questions on the model "old", scored by words
    When I migrate it with "--margin 1" from "vllm:old" to "vllm:alike"
    Then the exit code is 0
    And it says "All paired scores are equal"
    And it says "too little data to tell"

  Scenario: What it would cost is said before
    Given a server
    And an experiment of 12 questions on the model "old", scored by words
    When I migrate it with "--dry-run" from "vllm:old" to "vllm:wordy"
    Then the exit code is 0
    And it says "48 to ask"
    And nothing was asked

  Scenario: One model twice
    Given a server
    And an experiment of 12 questions on the model "old", scored by words
    When I migrate it from "vllm:old" to "vllm:old"
    Then the exit code is 2
    And it says "Name two models"
    And nothing was asked

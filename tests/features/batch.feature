Feature: Half the price
  A run by batch is sent and left; what comes is collected later, and nothing is paid for twice.

  Scenario: Sent in the evening, killed over night, collected in the morning
    Given OpenAI, and a new key for it
    And the founding experiment
    And OpenAI takes its time over batches
    When I start it by batch, and kill it when the batch is out
    And OpenAI has done the batch
    And I run it by batch
    Then the exit code is 0
    And it says "half price by batch"
    And every trial is answered
    And no question was paid for twice
    And every answer but the first cost half

  Scenario: A model without batches
    Given OpenAI, and a new key for it
    And the founding experiment
    When I run it by batch on "echo"
    Then the exit code is 2
    And it says "scripted:echo cannot be asked by batch"

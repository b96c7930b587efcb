Feature: ChatGPT
  A newcomer with a key gets answers; a model that refuses a setting says so once, and for nothing.

  Scenario: The founding experiment
    Given OpenAI, and a new key for it
    And the founding experiment
    When I run it on "chatgpt"
    Then the exit code is 0
    And every trial is answered
    And every answer has its price
    And everything was sent that the file says

  Scenario: A model that reasons refuses, and takes it without reasoning
    Given OpenAI, and a new key for it
    And the founding experiment
    When I run it on "openai:gpt-6-sol"
    Then the exit code is 2
    And it names the line with "temperature", and says "reasoning_effort: none"
    And one call was made, and nothing was paid for
    When I add "reasoning_effort: none" to its sampling
    And I run it on "openai:gpt-6-sol"
    Then the exit code is 0
    And every trial is answered
    And no question was paid for twice

  Scenario: A model that always reasons is asked without what it refuses
    Given OpenAI, and a new key for it
    And the founding experiment
    When I run it on "openai:gpt-6-astra"
    Then the exit code is 2
    And it names the line with "temperature", and says "unsupported: drop"
    And it says "400 may leave no room for an answer"
    And one call was made, and nothing was paid for
    When I write "unsupported: drop" into it
    And I set its caps to 2000 tokens an answer and 5 dollars
    And I run it on "openai:gpt-6-astra"
    Then the exit code is 0
    And every trial is answered
    And no answer had a "temperature", and the table says so
    When I type "assistants models"
    Then it says "refused temperature"

  Scenario: Thinking that leaves no room for an answer is no answer
    Given OpenAI, and a new key for it
    And the founding experiment
    When I write "unsupported: drop" into it
    And I keep 3 of its questions
    And I set its caps to 160 tokens an answer and 5 dollars
    And I run it on "openai:gpt-5.5"
    Then the exit code is 1
    And it says "reasoning used all 160 tokens"
    And no trial is answered
    And every call is paid for in the table
    When I set its caps to 2000 tokens an answer and 6 dollars
    And I run it on "openai:gpt-5.5"
    Then the exit code is 0
    And every trial is answered

  Scenario: A new key may not stream
    Given OpenAI, and a new key for it
    When I type "assistants ask -m openai:gpt-6-astra -p art 'What is a tree?'"
    Then the exit code is 0
    And it says "As You"

  Scenario: A key that is wrong
    Given OpenAI, and a key that it does not know
    And the founding experiment
    When I run it on "chatgpt"
    Then the exit code is 1
    And it says "Check the key"
    And nothing was paid for

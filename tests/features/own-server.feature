Feature: A server of one's own
  A model is started with one command, asked by its name, and ended with nothing left behind.

  Scenario: Started, asked, listed, ended
    Given a machine that has vLLM
    When I type "assistants serve good --detach"
    Then the exit code is 0
    And it says "vllm:good"
    When I type "assistants ask -m vllm:good -p art 'What is a tree?'"
    Then the exit code is 0
    And it says "good was asked good"
    When I type "assistants servers test"
    Then it says "good was asked good"
    When I type "assistants stop good"
    Then it says "good has ended"
    When I type "assistants servers"
    Then it says "No server runs here"

  Scenario: A server that cannot start says why
    Given a machine that has vLLM
    When I type "assistants serve dies"
    Then the exit code is 1
    And it says "CUDA out of memory"
    And it says "There is too little memory"

  Scenario: Which models fit
    Given a machine that has vLLM
    And a file of servers with a small model and one that is too large
    When I type "assistants plan servers.toml --gpus 24GiB"
    Then the exit code is 1
    And it says "small on GPU 0"
    And it says "large does not fit"

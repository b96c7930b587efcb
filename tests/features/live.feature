Feature: Talk side by side, and take it into an experiment
  What was learnt live is data: nothing is copied by hand, and nothing is lost when the page closes.

  Scenario: From a conversation to an experiment
    Given a server
    When I compare "none, art" and ask "What is light?"
    Then 2 columns have answered "What is light?"
    When I ask all of them "And a shadow?"
    Then every column was told its own history
    And the conversation is in the results as "compare"
    When I make an experiment of it
    And I run it
    Then the exit code is 0
    And the personas are "none, art"

  Scenario: Somebody else goes on
    Given a server
    When I chat with "art" and ask "What is light?"
    And the persona "physics" takes over and is asked "And a shadow?"
    Then the transcript says where "physics" takes over
    And the conversation is in the results as "chat"

  Scenario: A column that fails says why, and the others go on
    Given a server
    And a model whose server is down
    When I compare "none" on both and ask "What is light?"
    Then one column has answered and the other says "no server answered"

  Scenario: Blind votes
    Given a server
    And an experiment with 4 trials, four at a time
    When I run it
    And I rate its answers, preferring the left
    Then no name was shown before the last vote
    And there are 2 votes in the results
    When I rate its answers again
    Then there is nothing left to rate

  Scenario: A question worth keeping
    Given a server
    And an experiment file with a comment
    When I keep "What is dew?" as a case of it
    Then the comment is still there
    And the experiment asks "What is dew?"

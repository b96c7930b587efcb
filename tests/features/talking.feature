Feature: Talking
  A question to several personas at once, and a conversation that is kept.

  Scenario: Side by side
    Given a server
    When I ask "Why is the sky blue?" of "art, physics, none"
    Then the exit code is 0
    And there are answers from "art, physics, none"

  Scenario: A conversation is kept as Markdown
    Given a server
    When I chat with "physics" and say "Why?" and "And then?"
    Then the exit code is 0
    And the conversation is kept as a Markdown file with both questions
    And the second question was sent with what went before it

Feature: Personas of one's own
  A persona is a Markdown file. One's own wins, and an edit is seen at the next run.

  Scenario: My own art teacher
    Given a server
    And an experiment with 4 trials, four at a time
    And a persona file "personas/art.md" that says "You are my neighbour."
    When I ask for the list of personas
    Then it says "personas/art.md"
    When I run it
    Then the persona "art" answered as "You are my neighbour."
    When I edit "personas/art.md" to say "You are my aunt."
    And I run it again
    Then 2 questions were asked
    And the persona "art" answered as "You are my aunt."
    And the digest of "art" is another one

Feature: A mistake in an experiment file is found before anything is asked
  The message names the file, the line, and the word that was probably meant.

  Scenario Outline: <mistake>
    Given a server
    And an experiment file with the mistake "<mistake>"
    When I run it
    Then the exit code is 2
    And it says "<place>"
    And it says "<hint>"
    And nothing was asked
    And nothing was written

    Examples:
      | mistake             | place      | hint             |
      | unknown key         | exp.yaml:4 | 'repeats'        |
      | unknown persona     | exp.yaml:1 | 'physics'        |
      | unknown model       | exp.yaml:2 | 'chatgpt'        |
      | unknown baseline    | exp.yaml:4 | 'art'            |
      | duplicate id        | exp.yaml   | there twice      |
      | missing case file   | exp.yaml:3 | questions.csv    |
      | wrong kind of value | exp.yaml:4 | repeats          |
      | no YAML             | exp.yaml:1 | found            |

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// choiceValue is a flag that takes one of a few words.
type choiceValue struct {
	target *string
	words  []string
}

// choice adds a flag to c that takes one of words, the first being the default.
func choice(c *cobra.Command, target *string, name, short string, words ...string) {
	*target = words[0]
	v := &choiceValue{target, words}
	c.Flags().VarP(v, name, short, "one of "+strings.Join(words, ", "))
	_ = c.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(
		words, cobra.ShellCompDirectiveNoFileComp)) // fails only for a flag that is not there
}

func (v *choiceValue) String() string { return *v.target }
func (v *choiceValue) Type() string   { return "word" }

func (v *choiceValue) Set(word string) error {
	if !slices.Contains(v.words, word) {
		return fmt.Errorf("%q is not one of %s", word, strings.Join(v.words, ", "))
	}
	*v.target = word
	return nil
}

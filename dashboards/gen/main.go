// Command gen writes the generated dashboards into the directory named by its first argument, and the alert rules below the
// folder deploy named by its second.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/droplift/droplift/dashboards"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: gen DASHBOARDS DEPLOY")
		os.Exit(2)
	}
	if err := errors.Join(dashboards.Write(os.Args[1]), dashboards.WriteRules(os.Args[2])); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

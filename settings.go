package main

import (
	"context"
	"fmt"
	"os"
	"reflect"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"
)

// SettingsCmd groups what is about the configuration itself.
type SettingsCmd struct {
	Check ConfigCheckCmd `cmd:"" help:"Report every problem of the configuration at once."`
	Show  ConfigShowCmd  `cmd:"" help:"Print the configuration in force as YAML."`
}

// ConfigCheckCmd checks the configuration.
type ConfigCheckCmd struct{}

func (c *ConfigCheckCmd) Run(cli *CLI) error {
	if err := c.check(cli.File); err != nil {
		return err
	}
	fmt.Println("The configuration is valid.")
	return nil
}

func (c *ConfigCheckCmd) check(path string) error {
	file := fileConfig{}
	if path != "" {
		var err error
		if file, err = readConfigFile(path); err != nil {
			return err
		}
	}
	return checkConfig(file)
}

// ConfigShowCmd prints the configuration.
type ConfigShowCmd struct{}

func (c *ConfigShowCmd) Run(ctx context.Context, cli *CLI, parser *kong.Kong) error {
	var settings yaml.MapSlice
	for _, flag := range parser.Model.Flags {
		if cli.sets(flag) {
			settings = append(settings, yaml.MapItem{Key: flag.Name, Value: flag.Target.Interface()})
		}
	}
	return yaml.NewEncoder(os.Stdout).EncodeContext(ctx, settings)
}

// sets says whether a flag sets a field of the configuration, unlike --help.
func (cli *CLI) sets(flag *kong.Flag) bool {
	config := reflect.ValueOf(&cli.Config).Elem()
	for i := range config.NumField() {
		if flag.Target.CanAddr() && flag.Target.Addr().Pointer() == config.Field(i).Addr().Pointer() && flag.Target.Type() == config.Field(i).Type() {
			return true
		}
	}
	return false
}

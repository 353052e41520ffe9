package main

import (
	"context"
	"fmt"
	"os"

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

func (c *ConfigShowCmd) Run(ctx context.Context, cfg *Config) error {
	return yaml.NewEncoder(os.Stdout).EncodeContext(ctx, cfg)
}

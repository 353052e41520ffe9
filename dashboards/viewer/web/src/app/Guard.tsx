import { Component, type ComponentChildren } from "preact";

interface Props {
  /** What is drawn: with another one, drawing is tried again. */
  drawn: unknown;
  fallback(message: string): ComponentChildren;
  children: ComponentChildren;
}

interface State {
  failed: string;
  drawn: unknown;
}

/** Guard keeps what breaks in a panel inside that panel. */
export class Guard extends Component<Props, State> {
  override state: State = { failed: "", drawn: null };

  override componentDidCatch(err: unknown): void {
    console.error(err);
    this.setState({ failed: err instanceof Error ? err.message : String(err), drawn: this.props.drawn });
  }

  render() {
    const { failed, drawn } = this.state;
    return failed && drawn === this.props.drawn ? this.props.fallback(failed) : this.props.children;
  }
}

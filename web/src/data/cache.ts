/** Keeps what was used last, up to a number of bytes. */
export class Cache<T> {
  private readonly held = new Map<string, { value: T; bytes: number }>();
  private total = 0;

  constructor(private readonly budget: number) {}

  /** Bytes held. */
  get bytes(): number {
    return this.total;
  }

  get(key: string): T | undefined {
    const entry = this.held.get(key);
    if (!entry) return undefined;
    // a Map keeps the order of insertion: last used goes last
    this.held.delete(key);
    this.held.set(key, entry);
    return entry.value;
  }

  set(key: string, value: T, bytes: number): void {
    this.drop(key);
    if (bytes > this.budget) return;
    this.held.set(key, { value, bytes });
    this.total += bytes;
    for (const oldest of this.held.keys()) {
      if (this.total <= this.budget) break;
      this.drop(oldest);
    }
  }

  drop(key: string): void {
    const entry = this.held.get(key);
    if (!entry) return;
    this.total -= entry.bytes;
    this.held.delete(key);
  }
}

/** What the signs of a picture mean. */
export function Legend() {
  return (
    <ul class="circuit-legend" aria-label="Legend">
      <li>
        <svg width="30" height="14" aria-hidden="true">
          <path class="plus" d="M1,10C12,10 18,4 29,4" />
        </svg>
        raises
      </li>
      <li>
        <svg width="30" height="14" aria-hidden="true">
          <path class="minus" d="M1,10C12,10 18,4 29,4" />
        </svg>
        lowers
      </li>
      <li>
        <svg width="16" height="22" aria-hidden="true">
          <rect class="capsule" x="2" y="1" width="12" height="20" rx="6" />
          <circle cx="8" cy="7" r="3" />
          <circle cx="8" cy="15" r="3" />
        </svg>
        a track: one feature over layers
      </li>
      <li>
        <svg width="12" height="14" aria-hidden="true">
          <circle cx="6" cy="7" r="4" />
        </svg>
        a feature
      </li>
      <li>
        <svg width="14" height="14" aria-hidden="true">
          <path class="diamond" d="M7,2l5,5l-5,5l-5,-5Z" />
        </svg>
        error: what an SAE leaves out
      </li>
      <li>
        <svg width="30" height="14" aria-hidden="true">
          <path class="plus dotted" d="M1,10C12,10 18,4 29,4" />
        </svg>
        from errors
      </li>
      <li>wider edges, larger dots: more of the influence on the next token</li>
    </ul>
  );
}

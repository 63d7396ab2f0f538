{% macro newer_than_this(column='epoch') -%}
    {#- Condition on rows of cuts that this mart has not seen; true in a full build. -#}
    {%- if is_incremental() -%}
        {{ column }} > (select coalesce(max(seen.epoch), -1) from {{ this }} as seen)
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}

{% macro forget_gone(source, key) -%}
    {#- Deletes rows whose key `source` no longer has: a merge alone would keep them for ever. -#}
    {%- if is_incremental() -%}
        {%- set same -%}
            {%- for column in key %}mart.{{ column }} = gone.{{ column }}{{ ' and ' if not loop.last }}{% endfor -%}
        {%- endset -%}
        merge into {{ this }} as mart
        using (select {{ key | join(', ') }} from {{ this }} except select {{ key | join(', ') }} from {{ source }}) as gone
        on {{ same }}
        when matched then delete
    {%- endif -%}
{%- endmacro %}

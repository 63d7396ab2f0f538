"""Made-up people's names: common names of several countries, written as a passport holder would write them."""

from __future__ import annotations

import unicodedata
from random import Random


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


SURNAMES = _words(
    """
    Smith Johnson Brown Jones Garcia Miller Davis Rodríguez Martinez Hernández Lopez Gonzalez Wilson Anderson Taylor Moore Jackson
    Martin Lee Perez Thompson White Harris Sanchez Clark Ramírez Lewis Robinson Walker Young Allen King Wright Scott Torres Nguyen
    Hill Flores Green Nelson Baker Hall Rivera Campbell Mitchell Carter Roberts Gomez Phillips Evans Turner Diaz Parker Cruz Edwards
    Collins Reyes Stewart Morris Morales Murphy Cook Rogers Gutiérrez Ortiz Morgan Cooper Peterson Bailey Reed Kelly Howard Ramos
    Kim Cox Ward Richardson Watson Brooks Chavez Wood Bennett Gray Mendoza Ruiz Hughes Price Alvarez Castillo Sanders Patel Long
    Ross Foster Jiménez Powell Perry Russell Sullivan Bell Coleman Butler Henderson Barnes Fisher Vasquez Simmons Romero Jordan
    Patterson Alexander Hamilton Graham Reynolds Griffin Wallace Moreno West Cole Hayes Bryant Herrera Gibson Ellis Tran Medina
    Aguilar Stevens Murray Ford Castro Marshall Owens Harrison Fernandez McDonald Woods Washington Kennedy Wells Vargas Henry Chen
    Freeman Webb Tucker Guzman Burns Crawford Olson Simpson Porter Hunter Gordon Mendez Silva Shaw Snyder Mason Dixon Muñoz Hunt
    Hicks Holmes Palmer Wagner Black Robertson Boyd Rose Stone Salazar Fox Warren Mills Meyer Rice Schmidt O'Brien O'Connor Cohen
    Levy Rossi Bianchi Ferrari Dubois Lefèvre Fournier Novak Kowalski Nowak Ivanov Petrov Tanaka Suzuki Watanabe Yamamoto Singh
    Sharma Gupta Khan Ahmed Hussain Okafor Mensah Haddad Nasser Silva-Costa Pereira Oliveira Santos Jensen Hansen Larsen Berg
    Lindqvist Virtanen Korhonen Papadopoulos Horváth Nagy Popescu Ionescu Park Choi Wang Zhang Liu Huang Zhao Wu Zhou Xu Sun Zhu
    """
)
WOMEN = _words(
    """
    Mary Patricia Jennifer Linda Elizabeth Barbara Susan Jessica Sarah Karen Lisa Nancy Betty Sandra Margaret Ashley Kimberly Emily
    Donna Michelle Carol Amanda Melissa Deborah Stephanie Rebecca Laura Sharon Cynthia Dorothy Amy Kathleen Angela Shirley Emma
    Brenda Pamela Nicole Anna Samantha Katherine Christine Debra Rachel Carolyn Janet Maria Olivia Heather Helen Catherine Diane
    Julie Victoria Joyce Lauren Kelly Christina Ruth Joan Virginia Judith Evelyn Hannah Andrea Megan Cheryl Jacqueline Madison
    Teresa Abigail Sophia Martha Sara Gloria Janice Kathryn Ann Isabella Judy Charlotte Julia Grace Amber Alice Jean Denise Danielle
    Marilyn Beverly Amélie Zoë Sofía Lucía Inés Aiko Yuki Priya Fatima Aisha Ingrid Astrid Chloé Noor
    """
)
MEN = _words(
    """
    John Robert Michael David William Richard Joseph Thomas Charles Christopher Daniel Matthew Anthony Mark Donald Steven Andrew
    Paul Joshua Kenneth Kevin Brian George Timothy Ronald Jason Edward Jeffrey Ryan Jacob Gary Nicholas Eric Jonathan Stephen Larry
    Justin Scott Brandon Benjamin Samuel Gregory Alexander Patrick Frank Raymond Jack Dennis Jerry Tyler Aaron Jose Adam Nathan
    Henry Zachary Douglas Peter Kyle Noah Ethan Jeremy Christian Walter Keith Austin Roger Terry Sean Gerald Carl Dylan Harold
    Jordan Jesse Bryan Lawrence Arthur Gabriel Bruce Logan Billy Joe Alan Juan Elijah Willie Albert Wayne Randy Mason Vincent Liam
    Roy Bobby Caleb Bradley José André Raúl Jürgen Kenji Hiroshi Arjun Omar Yusuf Lars Björn Étienne Mateo
    """
)


def pnr_name(name: str) -> str:
    """`name` as a reservation system keeps it: A–Z in upper case, nothing else."""
    plain = unicodedata.normalize("NFKD", name).upper()
    return "".join(letter for letter in plain if "A" <= letter <= "Z")


def misspelt(name: str, rng: Random) -> str:
    """`name` (A–Z) with one slip of the keyboard: two letters swapped, one lost or one doubled."""
    if len(name) < 4:
        return name + name[-1]
    at = rng.randrange(1, len(name) - 1)
    kind = rng.randrange(3)
    if kind == 0 and name[at] != name[at + 1]:
        return name[:at] + name[at + 1] + name[at] + name[at + 2 :]
    return name[:at] + name[at + 1 :] if kind == 1 else name[: at + 1] + name[at:]
